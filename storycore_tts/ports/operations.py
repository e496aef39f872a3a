"""Every operation that a backend can be asked for, declared once.

Messages, events, metrics, jobs, the pipeline and the contract suite all read this table: a new port
is a protocol, a line here, a field of ``Capabilities``, and an adapter that implements it.
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
"""What an operation takes."""


@dataclass(frozen=True)
class Operation:
    """A method of a port.

    Args:
        name: The method's name; events, metrics and spans use it too.
        port: The protocol that has the method.
        capability: The field of ``Capabilities`` that says whether an adapter has the port.
        verb: For messages: "The backend 'draft' cannot clone voices."
        request: The type of request that is for this operation alone; None: there is none.
        job: What kind of job such a request becomes; None: it becomes none.
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
        """Tell whether a backend of these capabilities has the port; if given, look at it, too."""
        has_port = adapter is None or isinstance(adapter, self.port)
        return has_port and bool(getattr(capabilities, self.capability))

    def unsupported_by(self, backend: str) -> UnsupportedByBackend:
        """Return the error for a backend, given its name, that lacks the port."""
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
"""All of them."""

_BY_REQUEST = {one.request: one for one in OPERATIONS if one.request is not None}
_BY_JOB = {one.job: one for one in OPERATIONS if one.job is not None}


def operation_for(request: Request) -> Operation:
    """Return the operation that a request is for."""
    return _BY_REQUEST[type(request)]


def operation_of(kind: JobKind) -> Operation:
    """Return the operation that does jobs of a kind."""
    return _BY_JOB[kind]
