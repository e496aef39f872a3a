"""What every adapter reports about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Capabilities:
    """What an adapter can do, so that callers ask instead of guessing.

    Args:
        speech: It implements ``SpeechSynthesizer``.
        cloning: It implements ``VoiceCloner``.
        training: It implements ``VoiceTrainer``.
        checkpoints: ``SpeechRequest.checkpoint`` works.
        instruct: ``SpeechRequest.instruct`` changes the voice.
        seeds: The same seed gives the same audio.
        streaming: It implements ``StreamingSynthesizer``.
        parameters: Names of the parameters (see ``domain.parameters``) that it takes. A warning of
            the result names those that a request sets and the adapter does not take. None: the
            adapter does not say, and gets no such warnings.
    """

    speech: bool = False
    cloning: bool = False
    training: bool = False
    checkpoints: bool = False
    instruct: bool = False
    seeds: bool = False
    streaming: bool = False
    parameters: frozenset[str] | None = None


@dataclass(frozen=True)
class Problem:
    """Something that keeps a backend from working, and what to do about it."""

    message: str
    advice: str


@dataclass(frozen=True)
class BackendStatus:
    """How a backend is right now.

    Args:
        backend: Name of the adapter.
        reachable: It answers, and can be asked to speak.
        version: Of the server or the library; "" when unknown.
        device: What computes there ("NVIDIA …", "cpu"); "" when unknown.
        models: Models that it would use.
        queue_length: Jobs of all clients that wait or run there; None when it has no queue.
        details: More facts for people, by name.
        problems: What is missing, with advice.
    """

    backend: str
    reachable: bool
    version: str = ""
    device: str = ""
    models: tuple[str, ...] = ()
    queue_length: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@runtime_checkable
class Adapter(Protocol):
    """The common part of all adapters."""

    @property
    def capabilities(self) -> Capabilities:
        """What this adapter can do."""
        ...

    async def status(self) -> BackendStatus:
        """Look at the backend; a backend that is down is an answer here, never an exception."""
        ...

    async def aclose(self) -> None:
        """Let go of connections, threads and models; safe to call twice."""
        ...
