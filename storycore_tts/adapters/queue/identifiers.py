"""Generates ids of jobs and uploads, which cannot be guessed without the database's secret."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from storycore_tts.adapters.queue import documents, tables
from storycore_tts.adapters.queue.storage import Storage

_UPLOAD = re.compile(r"up_[0-9a-f]{48}")


class Identifiers:
    """Generates ids with a secret shared by all processes of a database; ``load`` reads it."""

    def __init__(self) -> None:
        self._secret = b""

    def load(self, storage: Storage) -> None:
        """Read the secret; create one in a new database."""
        with storage.writing() as connection:
            fresh = {"name": "ids", "value": secrets.token_bytes(32)}
            connection.execute(
                storage.insert(tables.secrets).values(fresh).on_conflict_do_nothing()
            )
            self._secret = bytes(connection.execute(sa.select(tables.secrets.c.value)).scalar_one())

    def owner(self, owner: str) -> str:
        """Return the hash that identifies an owner in the database."""
        return self._digest("owner", owner).hexdigest()

    def job(self, owner: str, idempotency_key: str | None) -> str:
        """Return the id of a new job: random, or derived from the owner and idempotency key."""
        if idempotency_key is None:
            return str(uuid4())
        return str(UUID(bytes=self._digest("job", owner, idempotency_key).digest()[:16], version=4))

    def upload(self, owner: str, data: bytes) -> str:
        """Return the id of an upload: the same for the same bytes and owner."""
        content = b"upload" + self.owner(owner).encode() + data
        return f"up_{hmac.new(self._secret, content, sha256).hexdigest()[:48]}"

    def _digest(self, *parts: str) -> hmac.HMAC:
        return hmac.new(self._secret, json.dumps(parts).encode(), sha256)


def is_job_id(text: str) -> bool:
    """Return whether a string has the format of a job id."""
    try:
        return str(UUID(text)) == text
    except (ValueError, AttributeError, TypeError):
        return False


def is_upload_id(text: str) -> bool:
    """Return whether a string has the format of an upload id."""
    return _UPLOAD.fullmatch(text) is not None


def uploads_in(details: Mapping[str, Any]) -> set[str]:
    """Return the upload ids in a job's details, at any depth."""
    return set(_UPLOAD.findall(documents.to_json(details)))
