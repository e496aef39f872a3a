"""The interface that all adapters share: capabilities, status and closing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Capabilities:
    """What an adapter supports.

    Args:
        speech: Whether it implements ``SpeechSynthesizer``.
        cloning: Whether it implements ``VoiceCloner``.
        training: Whether it implements ``VoiceTrainer``.
        checkpoints: Whether it supports ``SpeechRequest.checkpoint``.
        instruct: Whether ``SpeechRequest.instruct`` has an effect.
        seeds: Whether the same seed gives the same audio.
        streaming: Whether it implements ``StreamingSynthesizer``.
        parameters: Names of the supported parameters (see ``domain.parameters``). If a request
            sets others, the result carries a warning that names them. None: not declared, so
            there are no such warnings.
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
    """Something that prevents a backend from working, and how to fix it."""

    message: str
    advice: str


@dataclass(frozen=True)
class BackendStatus:
    """The current status of a backend.

    Args:
        backend: Name of the adapter.
        reachable: Whether it answers and accepts requests.
        version: Version of the server or the library; "" if unknown.
        device: The compute device ("NVIDIA …", "cpu"); "" if unknown.
        models: Names of the models that it would use.
        queue_length: Number of queued and running jobs of all clients; None if it has no queue.
        details: Further information for display, by name.
        problems: Problems found, with advice.
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
    """The interface that all adapters share."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what this adapter supports."""
        ...

    async def status(self) -> BackendStatus:
        """Return the backend's status. Never raises if the backend is down; the status says so."""
        ...

    async def aclose(self) -> None:
        """Release connections, threads and models. Safe to call twice."""
        ...
