"""One event, one line: ``job.submitted job=4f… backend=comfyui``, for people and for machines."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

# Neither control characters, which a terminal obeys, nor halves of a pair, which no file takes.
_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


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
    # In ASCII: Unicode has more line ends than \n.
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
