"""Range and conditional requests for stored files (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from http import HTTPStatus

from fastapi import Response

from storycore_tts.domain.jobs import StoredAudio
from storycore_tts.entrypoints.http.problems import Refused

# One range only: players request no more, and many overlapping ranges are an attack.
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def ranged(
    stored: StoredAudio, wanted: str | None, *, if_range: str | None, if_none_match: str | None
) -> Response:
    """Return a response with the file, a part of it, or status 304.

    Args:
        stored: The file.
        wanted: The header ``Range``; anything but a single byte range is ignored.
        if_range: The header ``If-Range``; if it does not match the file, the range is ignored.
        if_none_match: The header ``If-None-Match``.

    Raises:
        Refused: The range starts after the end of the file (416).
    """
    tag = f'"{stored.etag}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if if_none_match is not None and _names(if_none_match, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    part = _part(wanted, len(stored.data)) if if_range in (None, tag) else None
    if part is None:
        return Response(stored.data, media_type=stored.media_type, headers=headers)
    start, end = part
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(stored.data)}"
    return Response(stored.data[start:end], HTTPStatus.PARTIAL_CONTENT, headers, stored.media_type)


def _names(if_none_match: str, tag: str) -> bool:
    tags = (one.strip().removeprefix("W/") for one in if_none_match.split(","))
    return if_none_match.strip() == "*" or tag in tags


def _part(wanted: str | None, length: int) -> tuple[int, int] | None:
    """Return the start and the exclusive end of a range; None for the whole file."""
    match = _ONE_RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:  # the last n bytes
        start, end = max(0, length - int(last)), length
    else:
        start, end = int(first), min(int(last) + 1 if last else length, length)
        if last and int(last) < int(first):
            return None  # invalid, and therefore ignored (RFC 9110)
    if start >= length:
        raise Refused(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"The range starts after the end of the file, which has {length} bytes.",
            headers={"Content-Range": f"bytes */{length}"},
        )
    return start, end
