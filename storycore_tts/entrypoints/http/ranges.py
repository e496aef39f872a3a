"""Parts of a stored file (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from http import HTTPStatus

from fastapi import Response

from storycore_tts.domain.jobs import StoredAudio
from storycore_tts.entrypoints.http.problems import Refused

# One range only: players ask for no more, and many overlapping ones are an attack.
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def ranged(
    stored: StoredAudio, wanted: str | None, *, if_range: str | None, if_none_match: str | None
) -> Response:
    """Answer with a file, a part of it, or the news that the client has it already.

    Args:
        stored: The file.
        wanted: The header ``Range``; anything but one range of bytes counts as none, as it may.
        if_range: The header ``If-Range``: another tag than the file's counts as no range.
        if_none_match: The header ``If-None-Match``.

    Raises:
        Refused: The range begins behind the file's end.
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
    """Return the first byte of a range and the one after its last; None for the whole file."""
    match = _ONE_RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        start, end = max(0, length - int(last)), length
    else:
        start, end = int(first), min(int(last) + 1 if last else length, length)
        if last and int(last) < int(first):
            return None  # no range at all, says the standard
    if start >= length:
        raise Refused(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"The file has {length} bytes; the range begins behind them.",
            headers={"Content-Range": f"bytes */{length}"},
        )
    return start, end
