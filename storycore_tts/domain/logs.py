"""Structured log lines, such as ``job.submitted job=4f… backend=comfyui``."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[^ \"=]+")


def log_event(logger: logging.Logger, level: int, event: str, /, **fields: object) -> None:
    """Log an event with its fields, as one line of ``key=value`` pairs.

    Handlers that write JSON can read ``record.event`` and ``record.fields``. Text written by users
    may be logged at DEBUG only.

    Args:
        logger: The logger to use.
        level: A level of ``logging``.
        event: A dotted name, such as "job.submitted".
        **fields: Fields of the event; those that are None are left out.
    """
    if logger.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, "%s", _line(event, known), extra={"event": event, "fields": known})


def _line(event: str, fields: Mapping[str, object]) -> str:
    return " ".join([event, *(f"{name}={_value(value)}" for name, value in fields.items())])


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    # isprintable() is False for line breaks, terminal control characters and lone surrogates,
    # which cannot be encoded.
    return text if text.isprintable() and _PLAIN.fullmatch(text) else json.dumps(text)
