"""The table of all backend operations.

Messages, events, metrics, jobs, the pipeline and the contract suite all use this table. To add a
port, add a protocol, a line here, a field of ``Capabilities`` and an adapter that implements it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from storycore_tts.domain.jobs import JobKind
from storycore_tts.domain.requests import CloneRequest, SpeechRequest, TrainingRequest
from storycore_tts.errors import UnsupportedByBackend
from storycore_tts.ports.adapter import Adapter, Capabilities
from storycore_tts.ports.cloner import VoiceCloner
from storycore_tts.ports.streaming import StreamingSynthesizer
from storycore_tts.ports.synthesizer import SpeechSynthesizer
from storycore_tts.ports.trainer import VoiceTrainer

LineRequest: TypeAlias = SpeechRequest | CloneRequest
"""A request whose result is ``Speech``."""

Request: TypeAlias = LineRequest | TrainingRequest
"""A request for any operation."""


@dataclass(frozen=True)
class Operation:
    """A method of a port.

    Args:
        name: Name of the method; also used in events, metrics and spans.
        port: The protocol that defines the method.
        capability: The field of ``Capabilities`` that declares support for the port.
        verb: Used in messages: "The backend 'draft' cannot clone voices."
        request: The request type that is used only by this operation; None: there is none.
        job: The kind of job for such requests; None: they cannot be jobs.
        streams: Whether the method yields chunks instead of returning a result.
    """

    name: str
    port: type
    capability: str
    verb: str
    request: type[Request] | None = None
    job: JobKind | None = None
    streams: bool = False

    def offered_by(self, capabilities: Capabilities, adapter: Adapter | None = None) -> bool:
        """Return whether the capabilities, and the adapter if given, support the operation."""
        has_port = adapter is None or isinstance(adapter, self.port)
        return has_port and bool(getattr(capabilities, self.capability))

    def unsupported_by(self, backend: str) -> UnsupportedByBackend:
        """Return the error for a backend that does not support the operation."""
        return UnsupportedByBackend(
            f"The backend {backend!r} cannot {self.verb}.",
            hint="Set tts.qwen.backend to one that can, such as comfyui.",
            backend=backend,
        )


SYNTHESIZE = Operation(
    "synthesize", SpeechSynthesizer, "speech", "speak", SpeechRequest, JobKind.SPEECH
)
SPEAKERS = Operation("speakers", SpeechSynthesizer, "speech", "speak")
CLONE = Operation("clone", VoiceCloner, "cloning", "clone voices", CloneRequest, JobKind.CLONE)
TRAIN = Operation(
    "train", VoiceTrainer, "training", "train voices", TrainingRequest, JobKind.TRAINING
)
STREAM = Operation(
    "synthesize_stream", StreamingSynthesizer, "streaming", "stream speech", streams=True
)

OPERATIONS = (SYNTHESIZE, SPEAKERS, CLONE, TRAIN, STREAM)
"""All operations."""

_BY_REQUEST = {one.request: one for one in OPERATIONS if one.request is not None}
_BY_JOB = {one.job: one for one in OPERATIONS if one.job is not None}


def operation_for(request: Request) -> Operation:
    """Return the operation for a request."""
    return _BY_REQUEST[type(request)]


def operation_of(kind: JobKind) -> Operation:
    """Return the operation that runs a kind of job."""
    return _BY_JOB[kind]
