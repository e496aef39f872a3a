"""Checks of request bodies before they are parsed."""

from __future__ import annotations

from email.message import Message
from http import HTTPStatus

from fastapi import Request

from storycore_tts.entrypoints.http.problems import Refused

_MOST_COMMAS = 50_000  # parsed JSON may take thirty times the memory of its text
_CHARSETS = ("utf-8", "utf8", "us-ascii")


async def check_body(request: Request) -> None:
    """Reject a body that is much more expensive to parse than to send.

    Args:
        request: The HTTP request.

    Raises:
        Refused: The body is a form in an encoding other than UTF-8 (415), since some of Python's
            decoders take quadratic time; or it is JSON with too many elements (413).
    """
    kind = Message()
    kind["content-type"] = request.headers.get("content-type", "")
    if kind.get_content_maintype() == "multipart":
        charset = kind.get_param("charset", "utf-8")
        if not isinstance(charset, str) or charset.lower() not in _CHARSETS:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Forms must be encoded in UTF-8.")
    is_json = kind.get_content_subtype().endswith("json")
    if is_json and (await request.body()).count(b",") > _MOST_COMMAS:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The JSON body has too many elements.")
