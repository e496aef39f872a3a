"""Responses to unexpected errors, without details."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from storycore_tts.entrypoints.http.problems import Refused, answer
from storycore_tts.entrypoints.http.sending import Sending

_logger = logging.getLogger(__name__)


class Bugs:
    """ASGI middleware that responds to unexpected errors with a problem document.

    The type and the traceback are logged, but not the message, which may contain users' text.

    Args:
        app: The next ASGI app.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        sending = Sending(send)
        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - the outermost edge
            place = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            _logger.error("Unexpected %s, please report this bug:\n%s", type(error).__name__, place)
            if not sending.begun:  # otherwise the server closes the connection
                await answer(_unexpected())(scope, receive, send)


def _unexpected() -> Refused:
    return Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error of the service.",
        hint="The log of the service has details.",
    )
