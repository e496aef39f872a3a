"""JSON serialization of jobs: spec, outcome and progress."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, TypeAlias

from storycore_tts.domain.jobs import Failure, Job, JobKind, JobSpec, JobState, Outcome
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.errors import InvalidRequest, StorageFailed

Document: TypeAlias = dict[str, Any]

_DAMAGED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


def now() -> int:
    """Return the current time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def moment(milliseconds: float) -> datetime:
    """Convert milliseconds since 1970 to a UTC datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def to_json(value: object) -> str:
    """Serialize a value as ASCII JSON, which every database stores unchanged.

    Raises:
        InvalidRequest: The value is not JSON-serializable: wrong type, NaN, or nested too deeply.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"A job's details cannot be written as JSON: {error}.") from error


def spec_to_json(spec: JobSpec) -> str:
    """Serialize a job's spec."""
    return to_json(asdict(spec) | {"kind": spec.kind.value, "details": spec.details})


def spec_from_json(text: str) -> JobSpec:
    """Parse a job's spec.

    Raises:
        StorageFailed: See ``reading``.
    """
    with reading():
        fields = json.loads(text)
        return JobSpec(**fields | {"kind": JobKind(fields["kind"])})


def same_spec(one: str, other: str) -> bool:
    """Return whether two specs are equal, whatever the consent that they name.

    The same request may be sent again after an upgrade, or after the consent was renewed.

    Raises:
        StorageFailed: See ``reading``.
    """
    with reading():
        first, second = (_without_consent(json.loads(each)) for each in (one, other))
    return first == second  # as text, since 1 is not True


def _without_consent(spec: Document) -> str:
    request = spec["details"].get("request")
    if isinstance(request, dict):
        request.pop("voice_consent", None)
    return json.dumps(spec, sort_keys=True)


@contextmanager
def reading() -> Iterator[None]:
    """Convert the errors of parsing a job's row.

    Raises:
        StorageFailed: The row is damaged, or a version of this package with other fields wrote it.
    """
    try:
        yield
    except (*_DAMAGED, InvalidRequest) as error:
        raise StorageFailed(
            "A job in the database cannot be read: it is damaged, or another version of "
            "storycore-tts wrote it.",
            hint="Run the newest version that uses this database.",
        ) from error


def of_success(outcome: Outcome) -> Document:
    """Serialize a success; the audio is stored separately."""
    return {
        "state": JobState.SUCCEEDED.value,
        "facts": json.loads(to_json(outcome.facts)),
        "media_type": outcome.media_type if outcome.audio else "",
    }


def of_failure(failure: Failure) -> Document:
    """Serialize a failure."""
    return {"state": JobState.FAILED.value, "failure": asdict(failure)}


def progress_to_json(progress: Progress | None) -> str | None:
    """Serialize a job's progress."""
    if progress is None:
        return None
    return json.dumps(asdict(progress) | {"stage": progress.stage.value})


def progress_from_json(text: str | None) -> Progress | None:
    """Parse a job's progress."""
    if not text:
        return None
    fields = json.loads(text)
    return Progress(**fields | {"stage": Stage(fields["stage"])})


def job_from_row(row: Any) -> Job:
    """Build a job from a row of ``tables.jobs`` with the ``document`` of its result.

    Timestamps are made monotonic, since the clocks of several machines may differ.

    Raises:
        StorageFailed: See ``reading``.
    """
    with reading():
        return _job(row)


def _job(row: Any) -> Job:
    started = None if row.started is None else max(row.started, row.created)
    ended = None if row.ended is None else max(row.ended, started or row.created)
    outcome = json.loads(row.document) if row.document else {}
    return Job(
        id=row.id,
        spec=spec_from_json(row.spec),
        state=JobState(row.state),
        created=moment(row.created),
        started=None if started is None else moment(started),
        ended=None if ended is None else moment(ended),
        progress=progress_from_json(row.progress),
        facts=outcome.get("facts", {}),
        media_type=outcome.get("media_type", ""),
        failure=Failure(**outcome["failure"]) if "failure" in outcome else None,
    )


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON-serializable")
