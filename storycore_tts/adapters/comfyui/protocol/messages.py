"""Parses responses and events of ComfyUI."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storycore_tts.domain.progress import Progress, Stage

Node = dict[str, Any]
Graph = dict[str, Node]

TRAINING_UPDATE = "qwen3tts_training_update"


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty mapping for any other value."""
    return value if isinstance(value, dict) else {}


def first(value: Any) -> Any:
    """Return the first item of a JSON array; None if empty or for any other value."""
    return value[0] if isinstance(value, list) and value else None


@dataclass(frozen=True)
class QueueSnapshot:
    """The running and pending prompts of a server.

    Args:
        running: Ids of running prompts.
        pending: Ids of pending prompts, in order.
        graphs: Prompt id -> graph.
    """

    running: tuple[str, ...]
    pending: tuple[str, ...]
    graphs: Mapping[str, Any]

    def find(self, node_id: str, node: Node) -> str | None:
        """Return the id of the prompt whose graph contains exactly this node, or None."""
        for prompt_id, graph in self.graphs.items():
            if isinstance(graph, dict) and graph.get(node_id) == node:
                return prompt_id
        return None


def read_queue(body: Any) -> QueueSnapshot | None:
    """Parse the response of ``/queue``; None if it is invalid.

    An entry is a list of number, prompt id, graph, extra data and outputs. Pending entries are
    unsorted; their numbers define the order.
    """
    running, pending = mapping(body).get("queue_running"), mapping(body).get("queue_pending")
    if not isinstance(running, list) or not isinstance(pending, list):
        return None
    under_way, waiting = _entries(running), sorted(_entries(pending), key=_number)
    return QueueSnapshot(
        running=tuple(str(e[1]) for e in under_way),
        pending=tuple(str(e[1]) for e in waiting),
        graphs={str(e[1]): e[2] for e in (*under_way, *waiting)},
    )


def _entries(listed: list[Any]) -> list[list[Any]]:
    return [entry for entry in listed if isinstance(entry, list) and len(entry) > 2]


def _number(entry: list[Any]) -> float:
    return entry[0] if isinstance(entry[0], int | float) else math.inf


@dataclass(frozen=True)
class StoredFile:
    """A file on the server, in the form used by history and uploads."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True)
class Succeeded:
    """The prompt succeeded; its outputs by node id."""

    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """A node raised an exception."""

    node_id: str
    node_type: str
    exception_type: str
    message: str


@dataclass(frozen=True)
class Interrupted:
    """The prompt was interrupted."""


Outcome = Succeeded | Failed | Interrupted


def outcome_of_history(entry: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome from a history entry; None if the prompt has not ended yet.

    Errors and interruptions both have ``status_str: "error"``; only the last message distinguishes
    them. If the status is null, outputs mean success.
    """
    status, outputs = entry.get("status"), entry.get("outputs")
    if isinstance(status, dict):
        messages = status.get("messages")
        for message in reversed(messages if isinstance(messages, list) else []):
            if isinstance(message, list) and len(message) == 2 and isinstance(message[1], dict):
                outcome = outcome_of_event(str(message[0]), message[1])
                if outcome is not None:
                    return outcome
        if status.get("status_str") == "error":
            return Failed("", "", "", "ComfyUI gave no reason")
        if status.get("completed") is not True:
            return None
        return Succeeded(outputs if isinstance(outputs, dict) else {})
    return Succeeded(outputs) if isinstance(outputs, dict) and outputs else None


def graph_of_history(entry: Mapping[str, Any]) -> Any:
    """Return the graph from a history entry; None if it is missing.

    The entry contains the queue entry: number, prompt id, graph, extra data and outputs.
    """
    prompt = entry.get("prompt")
    return prompt[2] if isinstance(prompt, list) and len(prompt) > 2 else None


def outcome_of_event(kind: str, data: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome from an event for a failure or an interruption; None for others."""
    if kind == "execution_interrupted":
        return Interrupted()
    if kind == "execution_error":
        return Failed(
            node_id=str(data.get("node_id") or ""),
            node_type=str(data.get("node_type") or ""),
            exception_type=str(data.get("exception_type") or ""),
            message=str(data.get("exception_message") or "").strip(),
        )
    return None


def parse_frame(text: str | bytes) -> tuple[str, Mapping[str, Any]] | None:
    """Parse a WebSocket message as (type, data); None for binary previews and invalid data."""
    if isinstance(text, bytes):
        return None
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also a number of thousands of digits
        return None
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), dict):
        return None
    return str(frame.get("type")), frame["data"]


def history_is_written(kind: str, data: Mapping[str, Any]) -> bool:
    """Return whether an event means that history contains the prompt.

    ``executing {node: null}`` is sent after history is written, ``execution_success`` often before.
    """
    return kind == "executing" and data.get("node") is None


def has_run(kind: str, data: Mapping[str, Any]) -> bool:
    """Return whether an event means that the prompt has ended."""
    return kind == "execution_success" or history_is_written(kind, data)


def speech_progress(kind: str, data: Mapping[str, Any], *, voice_node: str) -> Progress | None:
    """Return the progress from an event of a speech job.

    The voice nodes of the pack report 1 of 3 before loading the model, 2 of 3 before generating and
    3 of 3 at the end. Other totals are counts of generation steps.
    """
    if kind == "executing" and data.get("node") == voice_node:
        return Progress(Stage.LOADING)
    if kind != "progress" or data.get("node") != voice_node:
        return None
    value, total = data.get("value"), data.get("max")
    if not isinstance(value, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    if total != 3:
        return Progress(Stage.GENERATING, _share(value, total))
    if value < 2:
        return Progress(Stage.LOADING)
    return Progress(Stage.GENERATING, 0.0 if value == 2 else 1.0)


def _share(done: float, total: float) -> float:
    """Return the completed share, clamped to 0..1."""
    try:
        return min(1.0, max(0.0, done / total))
    except OverflowError:  # an integer too large for a float
        return 0.0


def training_progress(kind: str, data: Mapping[str, Any], *, node: str) -> Progress | None:
    """Return the progress from an event of a training job; updates contain only the node id."""
    if data.get("node") != node:
        return None
    if kind == "progress":
        step, total = data.get("value"), data.get("max")
        if isinstance(step, int) and isinstance(total, int) and total > 0:
            return Progress(Stage.TRAINING, _share(step, total), step=step, total_steps=total)
    if kind != TRAINING_UPDATE:
        return None
    epoch, loss, message = data.get("epoch"), data.get("loss"), data.get("message")
    if data.get("type") == "status" and isinstance(message, str):
        return Progress(Stage.LOADING, message=message)
    if data.get("type") == "progress" and isinstance(epoch, int):
        is_loss = isinstance(loss, int | float) and abs(loss) <= 1e300  # NaN is none
        number = float(loss) if is_loss else None  # type: ignore[arg-type]
        return Progress(Stage.TRAINING, epoch=epoch, loss=number)
    if data.get("type") == "validation" and isinstance(epoch, int):
        return Progress(Stage.TRAINING, epoch=epoch, message=f"validated epoch {epoch}")
    return None
