"""Problem documents that carry the error as OpenAI's clients read it, too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from storycore_tts.entrypoints.http.problems import Problem
from storycore_tts.entrypoints.http.security.keys import KeyedRoute


def as_error(problem: Problem) -> dict[str, Any]:
    """Return a problem as OpenAI's API words an error."""
    said = problem.detail if problem.hint is None else f"{problem.detail} {problem.hint}"
    kind, _, name = problem.type.rpartition(":")
    fields = [str(part) for part in problem.errors[0].loc[1:]] if problem.errors else []
    return {
        "message": said,
        "type": "server_error" if problem.status >= 500 else "invalid_request_error",
        "param": ".".join(fields) or None,
        "code": None if kind == "about" else name,
    }


class OpenAIRoute(KeyedRoute):
    """Answers errors in both ways at once: an ``error`` member inside the problem document.

    OpenAI's clients repeat a request after any error of a server, unless they are told not to. A
    line that failed for a reason that stays would keep the backend busy three times.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler that explains errors."""
        handle = super().get_route_handler()

        async def handle_and_advise(request: Request) -> Response:
            answer = await handle(request)
            if answer.status_code >= HTTPStatus.BAD_REQUEST:
                again = "retry-after" in answer.headers
                answer.headers["X-Should-Retry"] = str(again).lower()
            return answer

        return handle_and_advise

    def document(self, problem: Problem) -> dict[str, Any]:
        """Return the members of the answer."""
        return {**super().document(problem), "error": as_error(problem)}
