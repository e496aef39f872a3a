"""Keys of the service's users. What is kept of a key is its SHA-256, never the key."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256

_PREFIX = "sctts_"  # so that a key that leaked into a repository can be found there
_BYTES = 32


def new_key() -> str:
    """Return a fresh key: 256 random bits, so many that a fast hash of it keeps it secret."""
    return _PREFIX + secrets.token_urlsafe(_BYTES)


def hashed(key: str) -> str:
    """Return what is kept of a key: its SHA-256 in hexadecimal digits."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def owner_of(key: str, keys: Mapping[str, str]) -> str | None:
    """Return whose key it is, or None; takes the same time whoever it is.

    Args:
        key: What a request brought.
        keys: Owner -> hash.
    """
    found, given = None, hashed(key)
    for owner, known in keys.items():
        if hmac.compare_digest(given, known):
            found = owner
    return found
