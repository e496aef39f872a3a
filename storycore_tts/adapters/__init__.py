"""The adapters: each one implements the ports with one backend, and knows no other."""
