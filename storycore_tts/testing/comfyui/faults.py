"""Scripted faults: what fails, when and how often. Nothing here is random.

```
Fault(times, after, prompt_id, client_id)
├── HttpFault(path, method)   Answer · Delay · Hang · ResetBefore · ResetAfter · CutBody ·
│                             WrongLength · CorruptBody
├── SocketFault(on)           RefuseSocket · CloseSocket · AbortSocket · SilenceSocket ·
│                             DuplicateFrames · DropFrames · InjectFrame · StripPromptId
├── JobFault                  NodeError · InterruptedByAnother · DeletedByAnother · QueueCleared ·
│                             SlowModelLoad · SilentAudio · QuietAudio · RunawayAudio ·
│                             DiskFull · TruncatedFile · EmptyFile · OutputDeleted ·
│                             OutputsMissing · HistoryStatusNull · HistoryLost · HistoryEmpty · Hold
└── ServerFault               NodePackMissing · NodeMissing · SpeakerList · InputLimits
```
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from storycore_tts.testing.script import Mishap, Scripted

from .log import FaultUsed, Held, StandInLog

HoldPoint = Literal["queue", "loading", "running", "history"]


@dataclass(frozen=True, kw_only=True)
class Fault(Mishap):
    """A fault that occurs `times` times (None: always), after `after` skipped matches.

    `prompt_id` and `client_id` restrict it to one job or one client.
    """

    prompt_id: str | None = None
    client_id: str | None = None

    def matches(self, **context: str | None) -> bool:
        """Whether the fault is meant for what is happening."""
        return all(
            wanted is None or wanted == context.get(name)
            for name, wanted in (("prompt_id", self.prompt_id), ("client_id", self.client_id))
        )


# HTTP -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class HttpFault(Fault):
    """A fault for requests to `path` (without prefix and /api; `*` is a wildcard)."""

    path: str = "*"
    method: str | None = None

    def matches(self, **context: str | None) -> bool:
        """Whether the fault is meant for what is happening."""
        path = context.get("path") or ""
        return (
            super().matches(**context)
            and self.method in (None, context.get("method"))
            and fnmatchcase(path, self.path)
        )


@dataclass(frozen=True, kw_only=True)
class Answer(HttpFault):
    """Replace the response: any status, body and headers."""

    status: int = 500
    body: str | bytes = ""
    content_type: str = "text/plain"
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Delay(HttpFault):
    """Handle the request after a delay of `seconds`."""

    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Hang(HttpFault):
    """Keep the connection open without answering. The request is not handled."""


@dataclass(frozen=True, kw_only=True)
class ResetBefore(HttpFault):
    """Reset the connection without handling the request."""


@dataclass(frozen=True, kw_only=True)
class ResetAfter(HttpFault):
    """Handle the request, then reset the connection instead of replying."""


@dataclass(frozen=True, kw_only=True)
class CutBody(HttpFault):
    """Send the correct headers but only the share `keep` (0..1) of the body, then close."""

    keep: float = 0.5


@dataclass(frozen=True, kw_only=True)
class WrongLength(HttpFault):
    """Declare a Content-Length that is off by `by` bytes (negative: too short)."""

    by: int = 100


@dataclass(frozen=True, kw_only=True)
class CorruptBody(HttpFault):
    """Send a body of the correct length with wrong bytes from the start."""


# WebSocket ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SocketFault(Fault):
    """A fault that occurs just before a frame of type `on` is sent ("*": any frame)."""

    on: str = "*"

    def matches(self, **context: str | None) -> bool:
        """Whether the fault is meant for what is happening."""
        return super().matches(**context) and self.on in ("*", context.get("event"))


@dataclass(frozen=True, kw_only=True)
class RefuseSocket(Fault):
    """Answer the upgrade request with an HTTP status."""

    status: int = 503


@dataclass(frozen=True, kw_only=True)
class CloseSocket(SocketFault):
    """Close the socket with a code; the frame is lost."""

    code: int = 1011


@dataclass(frozen=True, kw_only=True)
class AbortSocket(SocketFault):
    """Drop the connection without a close frame (the client sees 1006)."""


@dataclass(frozen=True, kw_only=True)
class SilenceSocket(SocketFault):
    """Stop sending frames and answering pings, but stay open."""


@dataclass(frozen=True, kw_only=True)
class DuplicateFrames(SocketFault):
    """Send frames twice; by default all of them, indefinitely."""

    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class DropFrames(SocketFault):
    """Drop frames of these types; by default indefinitely."""

    times: int | None = None
    types: Sequence[str] = ()

    def matches(self, **context: str | None) -> bool:
        """Whether the fault is meant for what is happening."""
        return super().matches(**context) and context.get("event") in self.types


@dataclass(frozen=True, kw_only=True)
class InjectFrame(SocketFault):
    """Send an additional frame first: text as str, binary as bytes."""

    frame: str | bytes = ""


@dataclass(frozen=True, kw_only=True)
class StripPromptId(SocketFault):
    """Omit prompt_id from frames, as the real server does after a reconnection."""

    on: str = "executing"
    times: int | None = None


def unknown_event(**match: Any) -> InjectFrame:
    """Return a fault that injects a well-formed frame of an unknown type."""
    frame = json.dumps({"type": "standin_unknown_event", "data": {"surprise": True}})
    return InjectFrame(frame=frame, **match)


def binary_frame(**match: Any) -> InjectFrame:
    """Return a fault that injects a preview image: two big-endian numbers, then bytes."""
    return InjectFrame(frame=b"\x00\x00\x00\x01\x00\x00\x00\x02" + b"\x89PNG" * 4, **match)


def invalid_json(**match: Any) -> InjectFrame:
    """Return a fault that injects a text frame with invalid JSON."""
    return InjectFrame(frame='{"type": "progress", "data": {', **match)


def huge_frame(megabytes: float = 5.0, **match: Any) -> InjectFrame:
    """Return a fault that injects a training validation frame of that size in megabytes."""
    audio = "data:audio/wav;base64," + "A" * int(megabytes * 1_000_000)
    data = {"node": "huge", "type": "validation", "epoch": 1, "audio_base64": audio}
    frame = json.dumps({"type": "qwen3tts_training_update", "data": data})
    return InjectFrame(frame=frame, **match)


# Jobs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class JobFault(Fault):
    """A fault of a job; `node_type` restricts it to one type of node, if a node is involved."""

    node_type: str | None = None

    def matches(self, **context: str | None) -> bool:
        """Whether the fault is meant for what is happening."""
        return super().matches(**context) and self.node_type in (None, context.get("node_type"))


@dataclass(frozen=True, kw_only=True)
class NodeError(JobFault):
    """A node fails: `execution_error` with this type and message.

    Without `node_type`, this applies to the first node of the Qwen-TTS pack.
    """

    exception_type: str = "RuntimeError"
    message: str = "Something went wrong"

    def matches(self, **context: str | None) -> bool:
        """Whether the fault is meant for what is happening."""
        of_the_pack = (context.get("node_type") or "").startswith("FB_")
        return super().matches(**context) and (of_the_pack or self.node_type is not None)


def out_of_memory(**match: Any) -> NodeError:
    """Return a fault in which a node runs out of CUDA memory, with torch's message."""
    return NodeError(
        exception_type="torch.OutOfMemoryError",
        message=(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
            "7.75 GiB of which 512.00 MiB is free. Including non-PyTorch memory, this process "
            "has 7.21 GiB memory in use."
        ),
        **match,
    )


@dataclass(frozen=True, kw_only=True)
class InterruptedByAnother(JobFault):
    """Another client interrupts the job while audio is generated."""


@dataclass(frozen=True, kw_only=True)
class DeletedByAnother(JobFault):
    """Another client deletes the job from the queue before it starts: no trace remains."""


@dataclass(frozen=True, kw_only=True)
class QueueCleared(JobFault):
    """Another client clears the whole queue just after this job was queued."""


@dataclass(frozen=True, kw_only=True)
class SlowModelLoad(JobFault):
    """The next load of a model takes `seconds`, regardless of the option."""

    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SilentAudio(JobFault):
    """The voice node returns zeros."""


@dataclass(frozen=True, kw_only=True)
class QuietAudio(JobFault):
    """The voice node's audio is scaled to this peak (0..1); the default peak is inaudible."""

    peak: float = 0.001


@dataclass(frozen=True, kw_only=True)
class RunawayAudio(JobFault):
    """The speech never ends: the audio is as long as max_new_tokens allows (12.5 per second)."""


@dataclass(frozen=True, kw_only=True)
class DiskFull(JobFault):
    """Saving raises OSError 28."""


@dataclass(frozen=True, kw_only=True)
class TruncatedFile(JobFault):
    """The saved file is truncated to the share `keep` (0..1) of its bytes."""

    keep: float = 0.5


@dataclass(frozen=True, kw_only=True)
class EmptyFile(JobFault):
    """The saved file is empty."""


@dataclass(frozen=True, kw_only=True)
class OutputDeleted(JobFault):
    """The saved file is deleted at once: the history lists it, /view answers 404."""


@dataclass(frozen=True, kw_only=True)
class OutputsMissing(JobFault):
    """The history reports success without outputs; no executed frame is sent."""


@dataclass(frozen=True, kw_only=True)
class HistoryStatusNull(JobFault):
    """The history entry's status is null, as newer servers may report it."""


@dataclass(frozen=True, kw_only=True)
class HistoryLost(JobFault):
    """The run creates no history entry."""


@dataclass(frozen=True, kw_only=True)
class HistoryEmpty(JobFault):
    """GET /history/{id} answers {} although the entry exists, for `times` requests."""


@dataclass(frozen=True, kw_only=True)
class Hold(JobFault):
    """Hold a job at a point until its gate is released.

    queue: before it leaves the queue; loading: while the model is loaded; running: in the call that
    generates or trains; history: after execution_success, before the history entry.
    """

    at: HoldPoint = "running"
    gate: str = ""


# The server -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ServerFault(Fault):
    """A server state, which lasts until the fault is removed."""

    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class NodePackMissing(ServerFault):
    """The Qwen-TTS nodes are not installed."""


@dataclass(frozen=True, kw_only=True)
class NodeMissing(ServerFault):
    """One node is not installed."""

    node: str = "FB_Qwen3TTSCustomVoice"


@dataclass(frozen=True, kw_only=True)
class SpeakerList(ServerFault):
    """FB_Qwen3TTSCustomVoice offers these speakers."""

    speakers: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class InputLimits(ServerFault):
    """A numeric input of a node has other limits."""

    node: str = "FB_Qwen3TTSCustomVoice"
    input: str = "max_new_tokens"
    minimum: float | None = None
    maximum: float | None = None


# The script -----------------------------------------------------------------------------------


class Gate:
    """A point where a job waits: `reached` is set on arrival, `release()` lets it continue."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._released = False
        self._waiting: list[Callable[[], object]] = []

    def release(self) -> None:
        """Let the job continue, now or when it arrives."""
        with self._lock:
            self._released = True
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    async def pass_through(self) -> None:
        """Wait on the server's loop until the gate is released."""
        loop = asyncio.get_running_loop()
        opened = asyncio.Event()
        with self._lock:
            if not self._released:
                self._waiting.append(lambda: _wake(loop, opened))
            else:
                opened.set()
        self.reached.set()
        await opened.wait()


def _wake(loop: asyncio.AbstractEventLoop, opened: asyncio.Event) -> None:
    # A gate may be released after its server has stopped or restarted.
    if not loop.is_closed():
        loop.call_soon_threadsafe(opened.set)


F = TypeVar("F", bound=Fault)


class Faults:
    """The fault script of one server. Thread-safe; faults occur in the order they were added."""

    def __init__(self, log: StandInLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._script: list[Scripted[Fault]] = []
        self._gates: dict[str, Gate] = {}
        self._names = itertools.count(1)
        self.changes = 0
        """Incremented on every change of the script, as a cache key."""

    def add(self, *faults: Fault) -> None:
        """Append faults to the script."""
        with self._lock:
            self._script.extend(Scripted(fault) for fault in faults)
            self.changes += 1

    def remove(self, fault: Fault) -> None:
        """Remove a fault from the script; does nothing if it is used up."""
        with self._lock:
            self._script = [entry for entry in self._script if entry.mishap != fault]
            self.changes += 1

    def clear(self) -> None:
        """Remove all faults and release all held jobs."""
        with self._lock:
            self._script = []
            self.changes += 1
        self.release_all()

    @property
    def pending(self) -> list[Fault]:
        """Faults that have not occurred as often as scripted."""
        with self._lock:
            return [entry.mishap for entry in self._script]

    def hold(
        self,
        at: HoldPoint = "running",
        *,
        times: int | None = 1,
        after: int = 0,
        prompt_id: str | None = None,
        client_id: str | None = None,
        node_type: str | None = None,
    ) -> Gate:
        """Hold the next matching job at a point; return the gate that it waits at."""
        gate = Gate(f"gate-{next(self._names)}")
        with self._lock:
            self._gates[gate.name] = gate
        self.add(
            Hold(
                at=at, gate=gate.name, times=times, after=after,
                prompt_id=prompt_id, client_id=client_id, node_type=node_type,
            )
        )  # fmt: skip
        return gate

    def gate(self, name: str) -> Gate:
        """Return the gate with this name; create it if needed."""
        with self._lock:
            return self._gates.setdefault(name, Gate(name))

    def release_all(self) -> None:
        """Release every gate."""
        with self._lock:
            gates = list(self._gates.values())
        for gate in gates:
            gate.release()

    # The server's side

    def take(self, cls: type[F], **context: str | None) -> F | None:
        """Return the first matching fault of a class, and count it as occurred."""
        if not self._script:
            return None
        with self._lock:
            found = self._first(cls, context)
        if found is not None:
            self._log.add(FaultUsed(fault=type(found).__name__))
        return found

    def _first(
        self, cls: type[F], context: Mapping[str, str | None], at: HoldPoint | None = None
    ) -> F | None:
        for entry in self._script:
            fault = entry.mishap
            if not isinstance(fault, cls) or not fault.matches(**context):
                continue
            if isinstance(fault, Hold) and fault.at != at:
                continue
            if entry.pass_over():
                continue
            entry.struck += 1
            if entry.spent:
                self._script.remove(entry)
            return fault
        return None

    def active(self, cls: type[F]) -> list[F]:
        """Return the persistent faults of a class, without counting them."""
        if not self._script:
            return []
        with self._lock:
            return [entry.mishap for entry in self._script if isinstance(entry.mishap, cls)]

    async def pass_gate(self, at: HoldPoint, **context: str | None) -> None:
        """Wait here if the script holds this job at this point."""
        if not self._script:
            return
        with self._lock:
            held = self._first(Hold, context, at)
        if held is None:
            return
        gate = self.gate(held.gate)
        self._log.add(Held(gate=gate.name, prompt_id=context.get("prompt_id")))
        await gate.pass_through()


# Over the wire --------------------------------------------------------------------------------


def _subclasses(cls: type[Fault]) -> dict[str, type[Fault]]:
    found = {cls.__name__: cls}
    for sub in cls.__subclasses__():
        found |= _subclasses(sub)
    return found


KINDS: dict[str, type[Fault]] = _subclasses(Fault)


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """Return a fault as a JSON object; bytes are encoded as {"base64": …}."""

    def plain(value: object) -> object:
        if isinstance(value, bytes):
            return {"base64": base64.b64encode(value).decode()}
        if isinstance(value, tuple | list):
            return list(value)
        return value

    return {
        "kind": type(fault).__name__,
        **{f.name: plain(getattr(fault, f.name)) for f in fields(fault)},
    }


def fault_from_json(data: Mapping[str, Any]) -> Fault:
    """Return the fault that `fault_to_json` encoded; raise KeyError or TypeError if invalid."""

    def rich(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"base64"}:
            return base64.b64decode(value["base64"])
        return tuple(value) if isinstance(value, list) else value

    values = {name: rich(value) for name, value in data.items() if name != "kind"}
    return KINDS[data["kind"]](**values)
