"""Use cases, independent of the adapters that implement the ports."""
