"""Ids of jobs and uploads, which cannot be guessed without the database's secret."""

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
    """Makes ids with a secret that all processes of a database share; ``load`` reads it."""

    def __init__(self) -> None:
        self._secret = b""

    def load(self, storage: Storage) -> None:
        """Read the secret, or make one in a new database."""
        with storage.writing() as connection:
            fresh = {"name": "ids", "value": secrets.token_bytes(32)}
            connection.execute(
                storage.insert(tables.secrets).values(fresh).on_conflict_do_nothing()
            )
            self._secret = bytes(connection.execute(sa.select(tables.secrets.c.value)).scalar_one())

    def owner(self, owner: str) -> str:
        """Return what stands for an owner in the database."""
        return self._digest("owner", owner).hexdigest()

    def job(self, owner: str, idempotency_key: str | None) -> str:
        """Return the id of a new job: random, or always the same one for an owner and a key."""
        if idempotency_key is None:
            return str(uuid4())
        return str(UUID(bytes=self._digest("job", owner, idempotency_key).digest()[:16], version=4))

    def upload(self, owner: str, data: bytes) -> str:
        """Return the id of an upload, which is the same for the same bytes of the same owner."""
        content = b"upload" + self.owner(owner).encode() + data
        return f"up_{hmac.new(self._secret, content, sha256).hexdigest()[:48]}"

    def _digest(self, *parts: str) -> hmac.HMAC:
        return hmac.new(self._secret, json.dumps(parts).encode(), sha256)


def is_job_id(text: str) -> bool:
    """Tell whether a text has the form of a job's id."""
    try:
        return str(UUID(text)) == text
    except (ValueError, AttributeError, TypeError):
        return False


def is_upload_id(text: str) -> bool:
    """Tell whether a text has the form of an upload's id."""
    return _UPLOAD.fullmatch(text) is not None


def uploads_in(details: Mapping[str, Any]) -> set[str]:
    """Return the ids of the uploads that the details of a job name, at any depth."""
    return set(_UPLOAD.findall(documents.to_json(details)))
