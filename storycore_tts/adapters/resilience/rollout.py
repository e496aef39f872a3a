"""Moving to ComfyUI gradually: a share of the requests, always the same ones."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Literal, TypeVar

import numpy as np

from storycore_tts.adapters.resilience.layers import Call, Layer, Request
from storycore_tts.domain.events import Listener, Routed
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.ports import Adapter, BackendStatus, Capabilities

T = TypeVar("T")
RoutingKey = Literal["project", "speaker", "request"]

_PORTS = ("speech", "cloning", "training", "streaming")


def is_in_share(key: str, share: float) -> bool:
    """Tell whether a key belongs to a share of all keys.

    The answer depends on nothing else, and a key that belongs to a share belongs to every larger
    one.

    Args:
        key: Any text.
        share: 0..1: none of them to all of them.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def routing_key(request: Request, by: RoutingKey) -> str:
    """Return what a request is routed by.

    Args:
        request: What was asked for.
        by: "project": its project, or its speaker when it names none; "speaker": its voice, however
            it is given; "request": all of it but the project and the job's id.
    """
    if by == "project" and request.project:
        return f"project {request.project}"
    if by == "request":
        told = [f.name for f in fields(request) if f.name not in ("project", "job_id")]
        return "request " + " ".join(_text(getattr(request, name)) for name in told)
    if isinstance(request, SpeechRequest):
        return f"speaker {request.checkpoint or ''} {request.speaker.casefold()}"
    if isinstance(request, CloneRequest):
        return f"reference {_text(request.reference)}"
    return f"speaker {request.speaker_name.casefold()}"


class Rollout(Layer):
    """Sends a share of the requests to one backend, and the rest to another.

    What one of them cannot do at all, such as streaming, goes to the other.

    Args:
        new: Gets the share.
        new_name: Its name.
        old: Gets the rest.
        old_name: Its name.
        share: 0..1.
        by: What is kept on one side.
        tell: Hears of every request.
    """

    def __init__(
        self,
        *,
        new: Adapter,
        new_name: str,
        old: Adapter,
        old_name: str,
        share: float,
        by: RoutingKey,
        tell: Listener,
    ) -> None:
        super().__init__(new)
        self._sides = ((new, new_name), (old, old_name))
        self._share, self._by = share, by
        self._tell = tell

    @property
    def capabilities(self) -> Capabilities:
        """Every port that one of the two has; of the rest, what both can do."""
        new, old = (adapter.capabilities for adapter, _ in self._sides)
        found = {
            f.name: (any if f.name in _PORTS else all)((getattr(new, f.name), getattr(old, f.name)))
            for f in fields(Capabilities)
        }
        return Capabilities(**found)

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``: that of the new backend, and how the requests are shared."""
        (new, new_name), (_, old_name) = self._sides
        status = await new.status()
        shared = f"{self._share:g} to {new_name}, the rest to {old_name}"
        return replace(status, details={**status.details, "rollout": shared})

    async def aclose(self) -> None:
        """See ``Adapter.aclose``; closes both."""
        (new, _), (old, _) = self._sides
        try:
            await new.aclose()
        finally:
            await old.aclose()

    async def _handle(self, call: Call[T]) -> T:
        new, old = self._sides
        if call.request is None:
            chosen, other = (new, old) if self._share >= 0.5 else (old, new)
        elif is_in_share(routing_key(call.request, self._by), self._share):
            chosen, other = new, old
        else:
            chosen, other = old, new
        if not call.offered_by(chosen[0]) and call.offered_by(other[0]):
            chosen = other
        adapter, name = chosen
        self._tell(Routed(call.operation, name, self._share))
        return await call.to(adapter)


def _text(value: object) -> str:
    if isinstance(value, ReferenceAudio):
        digest = hashlib.sha256(np.ascontiguousarray(value.samples).tobytes()).hexdigest()
        return f"{digest} {value.sample_rate} {value.transcript!r}"
    return repr(value)
