"""Types of the state machine: job description, commands, phases and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from storycore_tts.adapters.comfyui.protocol.messages import Graph, Outcome, Succeeded
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.settings import ComfyUITimeouts

OnEvent = Callable[[str, Mapping[str, Any]], "Progress | None"]


GIVEN_AGAIN = "the ComfyUI server lost the job, which was submitted again"


def loading() -> Progress:
    """Return the progress for loading a model, with which most jobs start."""
    return Progress(Stage.LOADING)


class Command(Enum):
    """Commands of the state machine; the comments name the methods for their results."""

    SUBMIT = "POST the graph"  # submitted, submission_refused, submission_uncertain
    FETCH_HISTORY = "fetch the history entry"  # history_answered, history_failed
    POLL_QUEUE = "fetch a fresh queue snapshot"  # queue_answered, queue_failed
    RESTORE_FILES = "upload the graph's files again"  # files_restored, restoring_failed
    WITHDRAW = "delete or interrupt the job"  # withdrawn, withdrawal_failed


class Phase(Enum):
    """Phases of a job, as seen by the client."""

    CONNECTING = "waiting for the event stream"
    LOOKING_UP = "looking for the job of an earlier call"
    SUBMITTING = "submitting"
    SEARCHING = "searching for a job that the server may have taken"
    PAUSING = "pausing before the next attempt"
    RESTORING = "uploading files again"
    FOLLOWING = "following"
    LEAVING = "withdrawing"
    ENDED = "ended"


@dataclass(frozen=True)
class JobPlan:
    """Description of a job.

    Args:
        graph: The graph to run.
        prompt_id: The prompt id, chosen by the client.
        node_id: Node whose broadcasts, which contain no prompt id, belong to this job.
        timeouts: The timeouts.
        read_event: Converts an event of this job to progress, or None.
        limit: Name of the timeout for the whole job.
        known: Whether an earlier call may have submitted the job; if so, search for it first.
        has_files: Whether the graph uses uploaded files, which a restart of the server may delete.
        begins: Returns the progress to report when the job starts to run.
    """

    graph: Graph
    prompt_id: str
    node_id: str
    timeouts: ComfyUITimeouts
    read_event: OnEvent
    limit: Literal["job", "training"] = "job"
    known: bool = False
    has_files: bool = False
    begins: Callable[[], Progress] = loading

    def runs_as(self, found: object) -> bool:
        """Return whether a graph has the same nodes, so that its results can be read."""
        return isinstance(found, dict) and all(
            isinstance(found.get(node_id), dict)
            and found[node_id].get("class_type") == node["class_type"]
            and isinstance(found[node_id].get("inputs"), dict)
            for node_id, node in self.graph.items()
        )


@dataclass(frozen=True)
class Withdrawn:
    """Result of deleting or interrupting a job.

    Args:
        listed_as: Id under which the queue listed the job; None if not listed or not checked.
        runs: Whether the job was running and therefore interrupted.
    """

    listed_as: str | None = None
    runs: bool = False


@dataclass(frozen=True)
class JobDone:
    """An ended job.

    Args:
        outcome: The outcome.
        prompt_id: The prompt id on the server.
        graph: The graph that was run.
        queued: Seconds from submission to start.
        running: Seconds from start to end.
        warnings: Warnings for the result.
    """

    outcome: Outcome
    prompt_id: str
    graph: Graph
    queued: float
    running: float
    warnings: tuple[str, ...]

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Outputs by node id; empty unless the job succeeded."""
        return self.outcome.outputs if isinstance(self.outcome, Succeeded) else {}
