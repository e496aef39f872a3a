"""Signatures in sound files, as C2PA manifests (the extra ``trust``): made, and read."""
