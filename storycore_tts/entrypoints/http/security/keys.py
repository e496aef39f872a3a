"""Who asks, by the key that a request brings."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from storycore_tts.domain.keys import owner_of
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.entrypoints.http.service import CurrentService

ANYBODY = "anybody"
"""The owner of everything where no keys are configured."""

_bearer = HTTPBearer(auto_error=False, description="A key; `storycore-tts keys new` makes one.")


async def _owner(
    service: CurrentService,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> str:
    keys = service.config.server.api_keys
    owner: str | None = ANYBODY
    if keys:
        owner = owner_of(given.credentials, keys) if given else None
    if owner is None:
        raise Refused(
            HTTPStatus.UNAUTHORIZED,
            "This key is not known here." if given else "This service needs a key.",
            hint="Send Authorization: Bearer KEY; the service's operator has keys.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    await service.rates.count(owner)
    return owner


CurrentOwner = Annotated[str, Depends(_owner)]
"""Whose request it is."""
