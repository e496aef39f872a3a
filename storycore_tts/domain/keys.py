"""API keys of the service. Only the SHA-256 hash of a key is stored."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256

_PREFIX = "sctts_"  # lets secret scanners find leaked keys
_BYTES = 32


def new_key() -> str:
    """Return a new key with 256 random bits, enough entropy for a fast hash to be safe."""
    return _PREFIX + secrets.token_urlsafe(_BYTES)


def hashed(key: str) -> str:
    """Return the SHA-256 hash of a key in hexadecimal digits, as it is stored."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def owner_of(key: str, keys: Mapping[str, str]) -> str | None:
    """Return the owner of a key, or None if it is unknown, in constant time.

    Args:
        key: The key sent with a request.
        keys: Owner -> hash of their key.
    """
    found, given = None, hashed(key)
    for owner, known in keys.items():
        if hmac.compare_digest(given, known):
            found = owner
    return found
