"""Routes of OpenAI's API: their errors, and what they ignore of a request."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Response

from storycore_tts.domain.logs import log_event
from storycore_tts.entrypoints.http.security.keys import KeyedRoute

_log = logging.getLogger(__name__)
_MOST = 20  # fields that are named
_LONGEST = 64  # characters of a field's name
_NAME = re.compile(rf"[A-Za-z_][\w.-]{{0,{_LONGEST}}}", re.ASCII)


class OpenAIRoute(KeyedRoute):
    """Answers 400 where OpenAI does: some clients know no other error of a request."""

    invalid = HTTPStatus.BAD_REQUEST


class ListRoute(OpenAIRoute):
    """Takes requests without a key where ``tts.qwen.server.open_lists`` says so."""

    is_list = True


def told_of_ignored(answer: Response, fields: Sequence[str]) -> Response:
    """Name the fields of a request that were ignored, in a header of the answer and in the log.

    Args:
        answer: The answer.
        fields: Their names, as the client spells them.
    """
    if fields:
        named = [name[:_LONGEST] for name in fields[:_MOST]]
        answer.headers["Speech-Ignored"] = json.dumps(named)
        # What is no name of a field may be a line of speech.
        plain = [name if _NAME.fullmatch(name) else "…" for name in named]
        log_event(_log, logging.INFO, "request.fields_ignored", fields=",".join(plain))
    return answer
