"""Speaking, cloning and training with whatever backend is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from storycore_tts.domain.errors import UnsupportedByBackend
from storycore_tts.domain.events import Listener, Listeners
from storycore_tts.domain.languages import AUTO
from storycore_tts.domain.progress import OnProgress, forward_only
from storycore_tts.domain.requests import CloneRequest, SpeechRequest, TrainingRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.domain.voices import Speaker
from storycore_tts.ports import (
    Adapter,
    BackendStatus,
    Capabilities,
    SpeechChunk,
    SpeechSynthesizer,
    StreamingSynthesizer,
    VoiceCloner,
    VoiceTrainer,
)

Port = TypeVar("Port")


@dataclass(frozen=True)
class Defaults:
    """What a line takes when the caller says nothing.

    Args:
        speaker: Name of a built-in voice.
        language: In the model's spelling.
        sampling: How the model draws its tokens.
    """

    speaker: str = "Ryan"
    language: str = AUTO
    sampling: Sampling = field(default_factory=Sampling)


class TextToSpeech:
    """The ports over one adapter, with the configured defaults.

    Args:
        adapter: Whoever does the work.
        name: Its name, for messages.
        defaults: What a line takes when the caller says nothing.
        listeners: Those who hear what the adapter tells of its work.
    """

    def __init__(
        self,
        adapter: Adapter,
        *,
        name: str,
        defaults: Defaults,
        listeners: Listeners | None = None,
    ) -> None:
        self._adapter = adapter
        self._name = name
        self._listeners = listeners or Listeners()
        self.defaults = defaults

    @property
    def backend(self) -> str:
        """Name of the adapter that does the work."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What this backend can do."""
        return self._adapter.capabilities

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Hear of requests, retries, fallbacks and reloads; see ``domain.events``.

        Args:
            listener: Called on the event loop where it happens; must return at once.

        Returns:
            A function that ends it.
        """
        return self._listeners.add(listener)

    async def say(
        self,
        text: str,
        *,
        speaker: str | None = None,
        language: str | None = None,
        instruct: str = "",
        checkpoint: str | None = None,
        sampling: Sampling | None = None,
        project: str = "",
        on_progress: OnProgress | None = None,
    ) -> Speech:
        """Speak a line; what is not given comes from the configuration.

        Args:
            text: What to say.
            speaker: A built-in voice; with ``checkpoint``, the fine-tuned speaker's name.
            language: A language's name, code or locale.
            instruct: How to say it, in words.
            checkpoint: Folder of a fine-tuned model, as the backend sees it.
            sampling: How the model draws its tokens.
            project: Whose line this is, for a gradual rollout.
            on_progress: Hears how far the job is.

        Raises:
            TTSError: See ``SpeechSynthesizer.synthesize``.
        """
        request = SpeechRequest(
            text=text,
            speaker=self.defaults.speaker if speaker is None else speaker,
            checkpoint=checkpoint,
            language=self.defaults.language if language is None else language,
            instruct=instruct,
            sampling=sampling or self.defaults.sampling,
            project=project,
        )
        return await self.synthesize(request, on_progress=on_progress)

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``SpeechSynthesizer.synthesize``."""
        port = self._port(SpeechSynthesizer, self.capabilities.speech, "speak")  # type: ignore[type-abstract]
        return await port.synthesize(request, on_progress=forward_only(on_progress))

    async def speakers(self) -> list[Speaker]:
        """See ``SpeechSynthesizer.speakers``."""
        port = self._port(SpeechSynthesizer, self.capabilities.speech, "speak")  # type: ignore[type-abstract]
        return await port.speakers()

    async def clone(
        self, request: CloneRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``VoiceCloner.clone``.

        Raises:
            UnsupportedByBackend: This backend cannot clone.
        """
        port = self._port(VoiceCloner, self.capabilities.cloning, "clone voices")  # type: ignore[type-abstract]
        return await port.clone(request, on_progress=forward_only(on_progress))

    def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """See ``StreamingSynthesizer.synthesize_stream``.

        Raises:
            UnsupportedByBackend: This backend cannot stream.
        """
        port = self._port(StreamingSynthesizer, self.capabilities.streaming, "stream speech")  # type: ignore[type-abstract]
        return port.synthesize_stream(request, on_progress=forward_only(on_progress))

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """See ``VoiceTrainer.train``.

        Raises:
            UnsupportedByBackend: This backend cannot train.
        """
        port = self._port(VoiceTrainer, self.capabilities.training, "train voices")  # type: ignore[type-abstract]
        return await port.train(request, on_progress=forward_only(on_progress))

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``."""
        return await self._adapter.status()

    async def aclose(self) -> None:
        """See ``Adapter.aclose``."""
        await self._adapter.aclose()

    def _port(self, port: type[Port], offered: bool, what: str) -> Port:
        if not offered or not isinstance(self._adapter, port):
            raise UnsupportedByBackend(
                f"The backend {self._name!r} cannot {what}.",
                hint="Set tts.qwen.backend to one that can, such as comfyui.",
                backend=self._name,
            )
        return self._adapter
