"""What a client is told of an error that nobody expected: nothing of it."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from storycore_tts.entrypoints.http.problems import Refused, answer
from storycore_tts.entrypoints.http.sending import Sending

_logger = logging.getLogger(__name__)


class Bugs:
    """ASGI middleware that answers unexpected errors with a problem document.

    The log gets the error's kind and its place. Not its message: it may hold the line of speech.

    Args:
        app: What comes behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        sending = Sending(send)
        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - the outermost edge
            place = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            _logger.error("A bug, please report it: %s\n%s", type(error).__name__, place)
            if not sending.begun:  # otherwise the server cuts the connection: it is not complete
                await answer(_unexpected())(scope, receive, send)


def _unexpected() -> Refused:
    return Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The service failed, by a mistake of its own.",
        hint="The service's operator finds more in its log.",
    )
