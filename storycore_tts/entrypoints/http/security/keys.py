"""Authentication by API keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from storycore_tts.domain.keys import owner_of
from storycore_tts.entrypoints.http.problems import ProblemRoute, Refused
from storycore_tts.entrypoints.http.security.bodies import check_body
from storycore_tts.entrypoints.http.service import Service

ANONYMOUS = "anybody"  # the owner of stored jobs and uploads: a new value would lose them
"""Owner of requests without a key, and of everything if no keys are configured."""

_bearer = HTTPBearer(auto_error=False, description="Create a key with `storycore-tts keys new`.")


class KeyedRoute(ProblemRoute):
    """A route that requires an API key, if keys are configured.

    FastAPI parses the body before dependencies run. Here, the key and the rate limit are checked
    before the body is read.
    """

    is_list = False
    """Whether ``tts.qwen.server.open_lists`` applies to it."""

    async def admit(self, request: Request) -> None:
        """Authenticate a request; see ``authenticate``.

        Inside another app, a dependency opens the service later and authenticates then.

        Raises:
            Refused: See ``authenticate`` and ``check_body``.
        """
        service: Service | None = getattr(request.state, "storycore_tts", None)
        if service is not None:
            await authenticate(request, service, is_list=self.is_list)
        await check_body(request)


async def authenticate(request: Request, service: Service, *, is_list: bool = False) -> None:
    """Determine the owner of a request; see ``CurrentOwner``.

    Args:
        request: The request.
        service: Provides the keys and the rate limits.
        is_list: Whether the route is a list that may be open to requests without a key.

    Raises:
        Refused: The key is invalid or missing (401), or its rate limit is exceeded (429).
    """
    keys = service.config.server.api_keys
    given = await _bearer(request)
    owner: str | None = ANONYMOUS
    if keys and (given or not (is_list and service.config.server.open_lists)):
        owner = owner_of(given.credentials, keys) if given else None
    if owner is None:
        raise Refused(
            HTTPStatus.UNAUTHORIZED,
            "Invalid API key." if given else "This service requires an API key.",
            hint="Send Authorization: Bearer KEY, with a key from the operator of the service.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if keys:  # without keys there is a single local user
        service.rates.count(owner)
    request.state.storycore_tts_owner = owner


async def _owner(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> str:
    owner: str = request.state.storycore_tts_owner
    return owner


CurrentOwner = Annotated[str, Depends(_owner)]
"""The owner of the key of a request, on a ``KeyedRoute``."""
