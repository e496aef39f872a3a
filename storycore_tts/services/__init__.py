"""Use cases on top of the ports, whoever implements them."""
