"""What DBOS's words mean: from its entries to jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.documents import Document
from storycore_tts.adapters.queue.runtime import BROKEN, CANCELLED, DONE, QUEUED, RUNNING, Entry
from storycore_tts.adapters.queue.tables import Note
from storycore_tts.domain.jobs import Failure, Job, JobState

STATUSES: Mapping[JobState, Sequence[str]] = {
    JobState.QUEUED: QUEUED,
    JobState.RUNNING: RUNNING,
    JobState.SUCCEEDED: DONE,
    JobState.FAILED: (*DONE, *BROKEN),
    JobState.CANCELLED: CANCELLED,
}
"""DBOS's words for a state; ``state_of`` tells apart what has the same."""

_PLAIN = {
    **dict.fromkeys(QUEUED, JobState.QUEUED),
    **dict.fromkeys(RUNNING, JobState.RUNNING),
    **dict.fromkeys(CANCELLED, JobState.CANCELLED),
    **dict.fromkeys(BROKEN, JobState.FAILED),
}


def state_of(entry: Entry) -> JobState:
    """Return where a job stands."""
    if entry.status in DONE:
        return JobState((entry.outcome or {}).get("state", JobState.FAILED))
    return _PLAIN[entry.status]


def job_of(entry: Entry, note: Note | None) -> Job:
    """Return a job as it stands.

    Args:
        entry: With its documents.
        note: What else is known of it.
    """
    state = state_of(entry)
    spec, outcome = entry.spec or {}, entry.outcome or {}
    created = documents.created_in(spec)
    started = _started(entry, note, state, created)
    ended = None
    if state.ended:
        ended = max(outcome.get("ended") or entry.ended or 0, started or created)
    return Job(
        id=entry.id,
        spec=documents.spec_from_json(spec),
        state=state,
        created=documents.moment(created),
        started=None if started is None else documents.moment(started),
        ended=None if ended is None else documents.moment(ended),
        progress=documents.progress_in(note.progress) if note else None,
        facts=outcome.get("facts", {}),
        media_type=outcome.get("media_type", ""),
        failure=_failure(entry, outcome) if state is JobState.FAILED else None,
    )


def _started(entry: Entry, note: Note | None, state: JobState, created: int) -> int | None:
    if note is not None:
        return max(note.started, created)
    if state in (JobState.QUEUED, JobState.CANCELLED) or entry.started is None:
        return None
    return max(entry.started, created)


def _failure(entry: Entry, outcome: Document) -> Failure:
    if "failure" in outcome:
        return Failure(**outcome["failure"])
    if entry.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return Failure(
            "JobLost",
            "Whatever did the job was killed, again and again, until it was given up.",
            hint="See the service's log for what kills it: memory, most likely.",
            retryable=False,
        )
    return Failure("InternalError", "The service failed at this job.", hint="Its log says more.")
