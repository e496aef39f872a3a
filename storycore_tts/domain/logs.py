"""One event, one line: ``job.submitted job=4f… backend=comfyui``, for people and for machines."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[^ \"=]+")


def log_event(logger: logging.Logger, level: int, event: str, /, **fields: object) -> None:
    """Log an event with its fields, as one line of ``key=value`` pairs.

    A handler that writes JSON finds the same in ``record.event`` and ``record.fields``. What users
    wrote belongs here at DEBUG only.

    Args:
        logger: Where to.
        level: As in ``logging``.
        event: A dotted name, such as "job.submitted".
        **fields: Facts; those that are None are left out.
    """
    if logger.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, "%s", _line(event, known), extra={"event": event, "fields": known})


def _line(event: str, fields: Mapping[str, object]) -> str:
    return " ".join([event, *(f"{name}={_value(value)}" for name, value in fields.items())])


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    # Printable means: no line end of those that Unicode has, nothing that a terminal obeys, and
    # no half of a surrogate pair, which no file takes.
    return text if text.isprintable() and _PLAIN.fullmatch(text) else json.dumps(text)
