"""What a body must not be, before anybody parses it."""

from __future__ import annotations

from email.message import Message
from http import HTTPStatus

from fastapi import Request

from storycore_tts.entrypoints.http.problems import Refused

_MOST_COMMAS = 50_000  # in JSON, whose lists and objects take thirty times the memory of its text
_CHARSETS = ("utf-8", "utf8", "us-ascii")


async def check_body(request: Request) -> None:
    """Refuse a body that costs much more to parse than to send.

    Raises:
        Refused: A form in an encoding other than UTF-8 (415), as Python has such as take quadratic
            time; or JSON of too many parts (413).
    """
    kind = Message()
    kind["content-type"] = request.headers.get("content-type", "")
    if kind.get_content_maintype() == "multipart":
        charset = kind.get_param("charset", "utf-8")
        if not isinstance(charset, str) or charset.lower() not in _CHARSETS:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Forms are taken in UTF-8 only.")
    is_json = kind.get_content_subtype().endswith("json")
    if is_json and (await request.body()).count(b",") > _MOST_COMMAS:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The JSON has too many parts.")
