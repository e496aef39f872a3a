"""Problem documents that carry the error as OpenAI's clients read it, too."""

from __future__ import annotations

from typing import Any

from storycore_tts.entrypoints.http.problems import Problem
from storycore_tts.entrypoints.http.security.keys import KeyedRoute


def as_error(problem: Problem) -> dict[str, Any]:
    """Return a problem as OpenAI's API words an error."""
    said = problem.detail if problem.hint is None else f"{problem.detail} {problem.hint}"
    fields = [str(part) for part in problem.errors[0].loc[1:]] if problem.errors else []
    return {
        "message": said,
        "type": "server_error" if problem.status >= 500 else "invalid_request_error",
        "param": ".".join(fields) or None,
        "code": problem.type.rpartition(":")[2],
    }


class OpenAIRoute(KeyedRoute):
    """Answers errors in both ways at once: an ``error`` member inside the problem document."""

    def document(self, problem: Problem) -> dict[str, Any]:
        """Return the members of the answer."""
        return {**super().document(problem), "error": as_error(problem)}
