"""Gradual rollout: routes a stable share of the requests to another backend."""

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

_UNHEARD = ("project", "job_id", "purpose", "consent", "voice_consent")  # they change no audio
_PORTS = {operation.capability for operation in OPERATIONS}


def is_in_share(key: str, share: float) -> bool:
    """Return whether a key belongs to a share of all keys.

    The result depends only on the arguments. A key that belongs to a share also belongs to every
    larger share.

    Args:
        key: Any string.
        share: 0..1; 0: no keys, 1: all keys.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def routing_key(request: Request, by: RoutingKey) -> str:
    """Return the key by which a request is routed.

    Args:
        request: The request.
        by: "project": its project, or its speaker if it has none; "speaker": its voice, in any
            form; "request": everything except the project and the job id.
    """
    if by == "project" and request.project:
        return f"project {request.project}"
    if by != "request" and isinstance(request, SpeechRequest):
        return f"speaker {request.checkpoint or ''} {request.speaker.casefold()}"
    if by != "request" and isinstance(request, CloneRequest):
        return f"reference {_text(request.reference)}"
    if by != "request" and isinstance(request, TrainingRequest):
        return f"speaker {request.speaker_name.casefold()}"
    told = [f.name for f in fields(request) if f.name not in _UNHEARD]
    return "request " + " ".join(_text(getattr(request, name)) for name in told)


class Rollout:
    """Routes a share of the calls to one backend, and the rest to another.

    Operations that only one of them supports, such as streaming, always go to that one.

    Args:
        new: The backend that gets the share.
        new_name: Name of the new backend.
        old: The backend that gets the rest.
        old_name: Name of the old backend.
        share: The share of calls, 0..1.
        by: The property by which calls are routed consistently.
        tell: Receives an event for every call.
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
        """Return the ports of either backend, and otherwise what both support."""
        new, old = (backend.capabilities for backend, _ in self._sides)
        found: dict[str, Any] = {
            f.name: (any if f.name in _PORTS else all)((getattr(new, f.name), getattr(old, f.name)))
            for f in fields(Capabilities)
        }
        taken = [one.parameters for one in (new, old) if one.parameters is not None]
        found["parameters"] = frozenset.intersection(*taken) if taken else None
        return Capabilities(**found)

    async def send(self, call: Call) -> Any:
        """Make a call on the backend that it is routed to."""
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
        """See ``Adapter.status``. Reports the new backend's status and the routing."""
        (new, new_name), (_, old_name) = self._sides
        status = await new.status()
        shared = f"{self._share:g} to {new_name}, the rest to {old_name}"
        return replace(status, details={**status.details, "rollout": shared})

    async def aclose(self) -> None:
        """See ``Adapter.aclose``. Closes both backends."""
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
