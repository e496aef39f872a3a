"""Who asks, by the key that a request brings."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from storycore_tts.domain.keys import owner_of
from storycore_tts.entrypoints.http.problems import ProblemRoute, Refused
from storycore_tts.entrypoints.http.security.bodies import check_body
from storycore_tts.entrypoints.http.service import Service

ANYBODY = "anybody"
"""The owner of everything where no keys are configured."""

_bearer = HTTPBearer(auto_error=False, description="A key; `storycore-tts keys new` makes one.")


class KeyedRoute(ProblemRoute):
    """Lets those in who have a key.

    FastAPI reads and parses a body before it looks at anything else; here nobody's is read whose
    key is unknown, or who asks too often.
    """

    is_list = False
    """Whether ``tts.qwen.server.open_lists`` opens it."""

    async def admit(self, request: Request) -> None:
        """Find out whose request it is; see ``let_in``.

        Inside another app the service is found later, by a dependency, and lets in then.

        Raises:
            Refused: See ``let_in`` and ``check_body``.
        """
        service: Service | None = getattr(request.state, "storycore_tts", None)
        if service is not None:
            await let_in(request, service, is_list=self.is_list)
        await check_body(request)


async def let_in(request: Request, service: Service, *, is_list: bool = False) -> None:
    """Find out whose request it is; see ``CurrentOwner``.

    Args:
        request: The request.
        service: Knows the keys.
        is_list: Whether it is for a list that may be open to requests without a key.

    Raises:
        Refused: The key is unknown or missing (401), or has been used too often (429).
    """
    keys = service.config.server.api_keys
    given = await _bearer(request)
    owner: str | None = ANYBODY
    if keys and (given or not (is_list and service.config.server.open_lists)):
        owner = owner_of(given.credentials, keys) if given else None
    if owner is None:
        raise Refused(
            HTTPStatus.UNAUTHORIZED,
            "Invalid API key." if given else "This service needs a key.",
            hint="Send Authorization: Bearer KEY; the service's operator has keys.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if keys:  # on a machine of one's own there is nobody to share it with
        service.rates.count(owner)
    request.state.storycore_tts_owner = owner


async def _owner(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> str:
    owner: str = request.state.storycore_tts_owner
    return owner


CurrentOwner = Annotated[str, Depends(_owner)]
"""Whose request it is, on a ``KeyedRoute``."""
