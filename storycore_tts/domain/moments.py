"""Moments: times with a time zone, in UTC."""

from __future__ import annotations

from datetime import datetime, timezone

from storycore_tts.errors import InvalidRequest, shown


def utc_now() -> datetime:
    """Return the time, with a time zone."""
    return datetime.now(timezone.utc)


def in_utc(name: str, moment: datetime) -> datetime:
    """Return a time in UTC.

    Args:
        name: Name of the field, for messages.
        moment: The time.

    Raises:
        InvalidRequest: It has no time zone, or cannot be converted.
    """
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidRequest(
            f"{name} must be a datetime with a time zone, not {shown(moment)}.",
            hint="Use datetime.now(timezone.utc).",
        )
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:  # the first or last day that datetime supports
        raise InvalidRequest(f"{name} is {moment}, which cannot be converted to UTC.") from None
