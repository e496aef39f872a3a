"""Routes of OpenAI's API: error format and ignored fields."""

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
_MOST = 20  # reported fields
_LONGEST = 64  # characters of a field's name
_NAME = re.compile(rf"[A-Za-z_][\w.-]{{0,{_LONGEST}}}", re.ASCII)


class OpenAIRoute(KeyedRoute):
    """Responds with 400 to invalid requests, as OpenAI does; some clients expect it."""

    invalid = HTTPStatus.BAD_REQUEST


class ListRoute(OpenAIRoute):
    """Accepts requests without a key if ``tts.qwen.server.open_lists`` is set."""

    is_list = True


def report_ignored(answer: Response, fields: Sequence[str]) -> Response:
    """Report the ignored fields of a request, in a response header and in the log.

    Args:
        answer: The response.
        fields: Names of the fields, as the client spells them.
    """
    if fields:
        named = [name[:_LONGEST] for name in fields[:_MOST]]
        answer.headers["Speech-Ignored"] = json.dumps(named)
        # Anything that does not look like a field name may be text to speak.
        plain = [name if _NAME.fullmatch(name) else "…" for name in named]
        log_event(_log, logging.INFO, "request.fields_ignored", fields=",".join(plain))
    return answer
