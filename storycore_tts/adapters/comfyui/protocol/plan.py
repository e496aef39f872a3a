"""What a job on ComfyUI is, what its state machine asks for, and how the job ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from storycore_tts.adapters.comfyui.protocol.messages import Graph, Outcome, Succeeded
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.settings import ComfyUITimeouts

OnEvent = Callable[[str, Mapping[str, Any]], "Progress | None"]


GIVEN_AGAIN = "the ComfyUI server lost the job under way, and was given it again"


def loading() -> Progress:
    """Say that a model is loaded, as at the start of most jobs."""
    return Progress(Stage.LOADING)


class Command(Enum):
    """What the machine asks for; the comments name the methods that answer it."""

    SUBMIT = "POST the graph"  # submitted, submission_refused, submission_uncertain
    FETCH_HISTORY = "fetch the history entry"  # history_answered, history_failed
    POLL_QUEUE = "fetch a fresh queue snapshot"  # queue_answered, queue_failed
    RESTORE_FILES = "upload the graph's files again"  # files_restored, restoring_failed
    WITHDRAW = "delete or interrupt the job"  # withdrawn, withdrawal_failed


class Phase(Enum):
    """Where a job stands, as its client sees it."""

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
    """What a job is.

    Args:
        graph: What shall run.
        prompt_id: The id that we choose.
        node_id: Node whose broadcasts, which name no prompt, belong to this job.
        timeouts: How long each wait may be.
        read_event: Turns an event of this job into progress, or None.
        limit: Which of the timeouts is that of the whole job.
        known: An earlier call may have submitted it: pick it up if the server knows it.
        has_files: The graph needs files that a server that restarted may have lost.
        begins: What is reported when the job starts to run.
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
        """Tell whether a graph has the nodes of this one, so that it can be read like it."""
        return isinstance(found, dict) and all(
            isinstance(found.get(node_id), dict)
            and found[node_id].get("class_type") == node["class_type"]
            and isinstance(found[node_id].get("inputs"), dict)
            for node_id, node in self.graph.items()
        )


@dataclass(frozen=True)
class Withdrawn:
    """What the server was told to drop.

    Args:
        known_as: The id by which the queue listed it; None if it did not, or was not asked.
        runs: It was under way, and so interrupted instead of deleted.
    """

    known_as: str | None = None
    runs: bool = False


@dataclass(frozen=True)
class JobDone:
    """A job that ended.

    Args:
        outcome: How.
        prompt_id: What the server calls it.
        graph: What ran.
        queued: Seconds from submission to the start.
        running: Seconds from the start to the end.
        warnings: What was done in spite of doubts.
    """

    outcome: Outcome
    prompt_id: str
    graph: Graph
    queued: float
    running: float
    warnings: tuple[str, ...]

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What its nodes wrote, by their ids; nothing unless it succeeded."""
        return self.outcome.outputs if isinstance(self.outcome, Succeeded) else {}
