"""Moving to ComfyUI gradually: a share of the requests, always the same ones."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np

from storycore_tts.domain.events import Listener, Routed
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.pipeline.calls import Backend, Call
from storycore_tts.ports import BackendStatus, Capabilities
from storycore_tts.ports.operations import OPERATIONS, Request

RoutingKey = Literal["project", "speaker", "request"]

_PORTS = {operation.capability for operation in OPERATIONS}


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
        request: What is asked for.
        by: "project": its project, or its speaker when it names none; "speaker": its voice, however
            it is given; "request": all of it but the project and the job's id.
    """
    if by == "project" and request.project:
        return f"project {request.project}"
    if by != "request" and isinstance(request, SpeechRequest):
        return f"speaker {request.checkpoint or ''} {request.speaker.casefold()}"
    if by != "request" and isinstance(request, CloneRequest):
        return f"reference {_text(request.reference)}"
    if by != "request" and isinstance(request, TrainingRequest):
        return f"speaker {request.speaker_name.casefold()}"
    told = [f.name for f in fields(request) if f.name not in ("project", "job_id")]
    return "request " + " ".join(_text(getattr(request, name)) for name in told)


class Rollout:
    """Sends a share of the calls to one backend, and the rest to another.

    What one of them cannot do at all, such as streaming, goes to the other.

    Args:
        new: Gets the share.
        new_name: Its name.
        old: Gets the rest.
        old_name: Its name.
        share: 0..1.
        by: What is kept on one side.
        tell: Hears of every call.
    """

    def __init__(
        self,
        *,
        new: Backend,
        new_name: str,
        old: Backend,
        old_name: str,
        share: float,
        by: RoutingKey,
        tell: Listener,
    ) -> None:
        self._sides = ((new, new_name), (old, old_name))
        self._share, self._by = share, by
        self._tell = tell

    @property
    def capabilities(self) -> Capabilities:
        """Every port that one of the two has; of the rest, what both can do."""
        new, old = (backend.capabilities for backend, _ in self._sides)
        found: dict[str, Any] = {
            f.name: (any if f.name in _PORTS else all)((getattr(new, f.name), getattr(old, f.name)))
            for f in fields(Capabilities)
        }
        taken = [one.parameters for one in (new, old) if one.parameters is not None]
        found["parameters"] = frozenset.intersection(*taken) if taken else None
        return Capabilities(**found)

    async def send(self, call: Call) -> Any:
        """Make a call on the side where it belongs."""
        new, old = self._sides
        if call.request is None:
            in_share = self._share >= 0.5
        else:
            in_share = is_in_share(routing_key(call.request, self._by), self._share)
        sides = (new, old) if in_share else (old, new)
        can = [one for one in sides if call.operation.offered_by(one[0].capabilities)]
        backend, name = (can or sides)[0]
        self._tell(Routed(call.operation.name, name, self._share))
        return await backend.send(call)

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``: that of the new backend, and how the calls are shared."""
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


def _text(value: object) -> str:
    if isinstance(value, ReferenceAudio):
        digest = hashlib.sha256(np.ascontiguousarray(value.samples).tobytes()).hexdigest()
        return f"{digest} {value.sample_rate} {value.transcript!r}"
    return repr(value)
