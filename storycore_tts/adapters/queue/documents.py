"""What is written of a job, as JSON: its order, its outcome, its progress."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, TypeAlias

from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.domain.jobs import Failure, JobKind, JobSpec, JobState, Outcome
from storycore_tts.domain.progress import Progress, Stage

Document: TypeAlias = dict[str, Any]

_CREATED = "created"  # of an order's document: the one thing that two equal orders differ in


def now() -> int:
    """Return this machine's clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def moment(milliseconds: float) -> datetime:
    """Return a time of the database as everybody else knows it, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def written(value: object) -> str:
    """Return a value as JSON in ASCII, which every database keeps as it is.

    Raises:
        InvalidRequest: It is none: another type, not a number, or too deep.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"A job's details cannot be written as JSON: {error}.") from error


def spec_to_json(spec: JobSpec) -> Document:
    """Describe an order that is given now."""
    fields = asdict(spec) | {"kind": spec.kind.value, "details": spec.details}
    document: Document = json.loads(written(fields | {_CREATED: now()}))
    return document


def spec_from_json(document: Mapping[str, Any]) -> JobSpec:
    """Return the order of a document."""
    fields = {name: value for name, value in document.items() if name != _CREATED}
    return JobSpec(**fields | {"kind": JobKind(document["kind"])})


def created_in(document: Mapping[str, Any]) -> int:
    """Return when an order was given, in milliseconds."""
    return int(document[_CREATED])


def same_spec(one: Document, other: Document) -> bool:
    """Return whether two documents order the same."""
    one, other = ({**each, _CREATED: 0} for each in (one, other))
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)  # 1 is not True


def of_success(outcome: Outcome) -> Document:
    """Describe a success; the sound is kept elsewhere."""
    return {
        "state": JobState.SUCCEEDED.value,
        "facts": json.loads(written(outcome.facts)),
        "media_type": outcome.media_type if outcome.audio else "",
        "ended": now(),
    }


def of_failure(failure: Failure) -> Document:
    """Describe a failure."""
    return {"state": JobState.FAILED.value, "failure": asdict(failure), "ended": now()}


def of_progress(progress: Progress) -> str:
    """Write a piece of news."""
    return json.dumps(asdict(progress) | {"stage": progress.stage.value})


def progress_in(text: str | None) -> Progress | None:
    """Read a piece of news."""
    if not text:
        return None
    fields = json.loads(text)
    return Progress(**fields | {"stage": Stage(fields["stage"])})


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON")
