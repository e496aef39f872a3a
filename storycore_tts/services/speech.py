"""Speech synthesis, voice cloning and training on the configured backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from storycore_tts.domain.consent import AtOnce
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.events import Listener, Listeners
from storycore_tts.domain.languages import AUTO
from storycore_tts.domain.markup import markup_warnings
from storycore_tts.domain.progress import OnProgress, forward_only
from storycore_tts.domain.requests import CloneRequest, SpeechRequest, TrainingRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.domain.voice_ids import VoiceChoice, mapped_voice
from storycore_tts.domain.voices import Speaker, is_built_in
from storycore_tts.errors import (
    InvalidRequest,
    StorageFailed,
    UnknownSpeaker,
)
from storycore_tts.pipeline.calls import (
    Backend,
    Call,
    Middleware,
    Pipeline,
    StartedStream,
    backend_of,
)
from storycore_tts.pipeline.consent import ConsentCheck
from storycore_tts.ports import Adapter, BackendStatus, Capabilities, SpeechChunk
from storycore_tts.ports.operations import (
    SPEAKERS,
    STREAM,
    TRAIN,
    LineRequest,
    Operation,
    Request,
    operation_for,
)
from storycore_tts.services.marking import Marking
from storycore_tts.services.training_times import (
    DatasetSize,
    StepClock,
    TrainingEstimate,
    TrainingTimes,
    dataset_size,
    size_if_here,
)
from storycore_tts.services.voices import VoiceLibrary

Spoken = TypeVar("Spoken", Speech, SpeechChunk)


@dataclass(frozen=True)
class Defaults:
    """Default values for lines.

    Args:
        speaker: Name of a built-in or stored voice.
        language: Language, in the model's spelling.
        sampling: Sampling parameters.
        voice_map: Voice ids of other speech services, mapped to the voices that replace them.
        strip_markup: Remove markup from the text; see ``SpeechRequest``.
        at_once: What happens to a clone of a recording whose request states no consent.
        project: Name of the project of lines that name none.
        purpose: What lines are for that name no purpose.
    """

    speaker: str = "Ryan"
    language: str = AUTO
    sampling: Sampling = field(default_factory=Sampling)
    voice_map: Mapping[str, VoiceChoice] = field(default_factory=dict)
    strip_markup: bool = False
    at_once: AtOnce = "warned"
    project: str = ""
    purpose: str = ""


class TextToSpeech:
    """The ports over one backend, with the configured defaults.

    Args:
        adapter: An adapter, or a backend composed of several.
        name: Its name in messages.
        defaults: Default values for lines.
        listeners: Receive events about calls.
        voices: Library of stored voices; None: the user's library.
        times: Records of training times; None: the user's records.
        marking: Marks the sound files; None: with tags only.
        middleware: Wraps each call, outermost first; consent is checked inside of it.
    """

    def __init__(
        self,
        adapter: Adapter | Backend,
        *,
        name: str,
        defaults: Defaults,
        listeners: Listeners | None = None,
        voices: VoiceLibrary | None = None,
        times: TrainingTimes | None = None,
        marking: Marking | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self._consent = ConsentCheck(lambda: self.voices.consents, lambda: self.defaults.at_once)
        self._backend = Pipeline(backend_of(adapter, name), *middleware, self._consent)
        self._times = times or TrainingTimes()
        self._name = name
        self._listeners = listeners or Listeners()
        self._voices = voices or VoiceLibrary()
        self._marking = marking or Marking()
        self.defaults = defaults

    @property
    def backend(self) -> str:
        """Name of the configured adapter."""
        return self._name

    @property
    def endpoint(self) -> BackendEndpoint | None:
        """The server that finishes jobs even if this process ends; None if there is none."""
        return None

    @property
    def capabilities(self) -> Capabilities:
        """The backend's capabilities."""
        return self._backend.capabilities

    @property
    def marking(self) -> Marking:
        """Marks sound files as synthetic speech; streams are encoded with its tags."""
        return self._marking

    @property
    def voices(self) -> VoiceLibrary:
        """The stored voices, which ``say`` accepts besides the built-in ones.

        Methods of the library block; in a coroutine, call them with ``asyncio.to_thread``.
        """
        return self._voices

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Subscribe to events: requests, retries, fallbacks and reloads; see ``domain.events``.

        Args:
            listener: Called on the event loop where the event occurs; must not block.

        Returns:
            A function that removes the listener.
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
        purpose: str = "",
        strip_markup: bool | None = None,
        on_progress: OnProgress | None = None,
    ) -> Speech:
        """Speak a line. Omitted arguments take the configured defaults.

        Args:
            text: Text to speak.
            speaker: A built-in or stored voice, or an id of ``tts.qwen.voice_map``; with
                ``checkpoint``, the fine-tuned speaker's name.
            language: Language name, code or locale; None: that of the stored voice, or the
                configured one.
            instruct: Style instruction in natural language; "": that of the stored voice.
            checkpoint: Folder of a fine-tuned model, as the backend sees it.
            sampling: Sampling parameters.
            project: Name of the project, for a gradual rollout and for consents to certain ones;
                "": the configured one.
            purpose: What the line is for; some consents cover certain purposes only; "": as
                configured.
            strip_markup: Remove Markdown, tags such as ``[laugh]`` and emoji from the text; None:
                as configured. If False, a warning of the result lists them.
            on_progress: Progress callback.

        Raises:
            TTSError: See ``request_for`` and ``speak``.
        """
        request = await self.request_for(
            text,
            speaker=speaker,
            language=language,
            instruct=instruct,
            checkpoint=checkpoint,
            sampling=sampling,
            project=project,
            purpose=purpose,
            strip_markup=strip_markup,
        )
        return await self.speak(request, on_progress=on_progress)

    async def request_for(
        self,
        text: str,
        *,
        speaker: str | None = None,
        language: str | None = None,
        instruct: str = "",
        checkpoint: str | None = None,
        sampling: Sampling | None = None,
        project: str = "",
        purpose: str = "",
        strip_markup: bool | None = None,
        owner: str | None = None,
    ) -> SpeechRequest | CloneRequest:
        """Build the request that ``say`` sends, for ``speak`` and ``synthesize_stream``.

        A name that is neither built in nor stored is looked up among the mapped ids, ignoring case.
        A name that is not found there is passed to the backend unchanged.

        Args:
            text: Text to speak.
            speaker: See ``say``; a voice stored as a recording makes it a ``CloneRequest``.
            language: None: that of the stored voice, or the configured one.
            instruct: "": that of the stored voice.
            checkpoint: Folder of a fine-tuned model; ``speaker`` is then a name in that model, and
                stored voices are not searched.
            sampling: None: the configured sampling.
            project: See ``say``.
            purpose: See ``say``.
            strip_markup: None: as configured.
            owner: See ``VoiceLibrary.find``.

        Raises:
            ConsentRefused: The consent to the use of the stored voice was revoked, or was given for
                another recording.
            InvalidRequest: An argument is invalid, such as an instruct for a cloned voice, or a
                checkpoint without its speaker.
            StorageFailed: The stored voice is damaged or cannot be read.
        """
        await self._ready()
        if speaker is None and checkpoint is not None:
            raise InvalidRequest(
                "A fine-tuned checkpoint needs the name of its speaker.",
                hint="Name the speaker that it was trained as.",
            )
        speaker = self.defaults.speaker if speaker is None else speaker
        sampling = sampling or self.defaults.sampling
        strip = self.defaults.strip_markup if strip_markup is None else strip_markup
        project, purpose = project or self.defaults.project, purpose or self.defaults.purpose
        stored, spoken = None, None
        if checkpoint is None:
            speaker, spoken, stored = await self._voice(speaker, owner)
        if language is None:
            language = spoken or (stored and stored.language) or self.defaults.language
        if stored is not None:
            return stored.request(
                text,
                language=language,
                instruct=instruct,
                sampling=sampling,
                project=project,
                purpose=purpose,
                strip_markup=strip,
            )
        return SpeechRequest(
            text=text,
            speaker=speaker,
            checkpoint=checkpoint,
            language=language,
            instruct=instruct,
            sampling=sampling,
            project=project,
            purpose=purpose,
            strip_markup=strip,
        )

    async def speak(self, request: LineRequest, *, on_progress: OnProgress | None = None) -> Speech:
        """Speak a line with a built-in, fine-tuned or cloned voice.

        Args:
            request: The line.
            on_progress: Progress callback.

        Raises:
            UnsupportedByBackend: This backend does not support this kind of voice.
            UnknownSpeaker: Neither the backend nor the library has this voice.
            ConsentRefused: See ``check_consent``; raised instead of delivering the speech, too.
            TTSError: See ``SpeechSynthesizer.synthesize`` and ``VoiceCloner.clone``.
        """
        await self._ready()
        call = Call(self.check(request), request, forward_only(on_progress))
        try:
            speech: Speech = await self._backend.send(call)
        except UnknownSpeaker as error:
            await self._mention_stored_voices(error, request)
            raise
        speech = replace(speech, request=request, marker=self._marking)
        return _with_warnings(speech, markup_warnings(request.text))

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``SpeechSynthesizer.synthesize``."""
        return await self.speak(request, on_progress=on_progress)

    async def clone(
        self, request: CloneRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``VoiceCloner.clone``.

        Raises:
            UnsupportedByBackend: This backend cannot clone.
        """
        return await self.speak(request, on_progress=on_progress)

    async def speakers(self) -> list[Speaker]:
        """See ``SpeechSynthesizer.speakers``."""
        await self._ready()
        speakers: list[Speaker] = await self._backend.send(Call(self._offered(SPEAKERS)))
        return speakers

    async def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """See ``StreamingSynthesizer.synthesize_stream``.

        Raises:
            UnsupportedByBackend: This backend cannot stream.
            ConsentRefused: See ``check_consent``; also raised between chunks.
        """
        await self._ready()
        found = markup_warnings(request.text)
        call = Call(self._offered(STREAM), request, forward_only(on_progress))
        stream: StartedStream = await self._backend.send(call)
        async with aclosing(stream.chunks):
            async for chunk in stream.chunks:
                yield _with_warnings(chunk, found)

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """See ``VoiceTrainer.train``; the step times are recorded for later estimates.

        Raises:
            UnsupportedByBackend: This backend cannot train.
        """
        await self._ready()
        clock = StepClock(forward_only(on_progress), asyncio.get_running_loop().time)
        voice: TrainedVoice = await self._backend.send(Call(self._offered(TRAIN), request, clock))
        size = await size_if_here(request.dataset)
        pace = clock.pace(request, size, machine=self._machine(voice.backend))
        if pace is None:
            return voice
        try:
            await asyncio.to_thread(self._times.note, pace)
        except StorageFailed as error:  # the voice is trained all the same
            return replace(
                voice, warnings=(*voice.warnings, f"the training time was not recorded: {error}")
            )
        return voice

    def estimate_training_time(
        self, request: TrainingRequest, *, size: DatasetSize | None = None
    ) -> TrainingEstimate:
        """Estimate the duration of a training job from earlier ones on this backend.

        Blocks while it reads files; in a coroutine, call it with ``asyncio.to_thread``.

        Args:
            request: The training request.
            size: Size of the dataset; None: measured, which requires a dataset on this machine.

        Raises:
            InvalidDataset: The dataset is not on this machine, or cannot be read.
            StorageFailed: The records of earlier training jobs cannot be read.
        """
        size = dataset_size(request.dataset) if size is None else size
        return self._times.estimate(request, size, machine=self._machine(self.backend))

    async def perform(
        self, request: Request, *, on_progress: OnProgress | None = None
    ) -> Speech | TrainedVoice:
        """Run a request of any kind; see ``speak`` and ``train``."""
        if isinstance(request, TrainingRequest):
            return await self.train(request, on_progress=on_progress)
        return await self.speak(request, on_progress=on_progress)

    def check(self, request: Request) -> Operation:
        """Return the operation of a request, after a check that this backend supports it.

        Args:
            request: The request.

        Raises:
            UnsupportedByBackend: The backend does not support the operation.
        """
        return self._offered(operation_for(request))

    async def check_consent(self, request: Request) -> None:
        """Check that there is consent to the use of the voice; ``speak`` does so by itself.

        Args:
            request: The request; those that need no consent pass.

        Raises:
            ConsentRefused: The consent is revoked, expired, given for another recording, does not
                cover the line, or is not stated although ``tts.qwen.consent.at_once`` requires it.
            StorageFailed: The records cannot be read.
        """
        if not isinstance(request, TrainingRequest):
            await self._consent.check(request)

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``."""
        await self._ready()
        return await self._backend.status()

    async def aclose(self) -> None:
        """See ``Adapter.aclose``."""
        await self._backend.aclose()

    async def _ready(self) -> None:
        """Hook that runs before each call."""

    def _machine(self, backend: str) -> str:
        """Return the machine that a backend trains on, the key of recorded training times."""
        return backend

    async def _voice(
        self, name: str, owner: str | None
    ) -> tuple[str, str | None, StoredVoice | None]:
        """Resolve a name to a speaker, the language of its mapping, and the stored voice."""
        stored = await self._stored(name, owner)
        if stored is not None or is_built_in(name) or not isinstance(name, str):
            return name, None, stored
        choice = mapped_voice(name, self.defaults.voice_map)
        if choice is None:
            return name, None, None
        return choice.speaker, choice.language, await self._stored(choice.speaker, owner)

    async def _stored(self, name: str, owner: str | None) -> StoredVoice | None:
        if is_built_in(name):
            return None
        return await asyncio.to_thread(self.voices.find, name, owner=owner)

    async def _mention_stored_voices(self, error: UnknownSpeaker, request: Request) -> None:
        if not isinstance(request, SpeechRequest) or request.checkpoint is not None:
            return
        with suppress(StorageFailed):  # the original error matters more
            names = await asyncio.to_thread(self.voices.names, owner="")  # for everyone
            if names:
                error.hint = f"{error.hint or ''} Stored voices: {', '.join(names)}.".strip()

    def _offered(self, operation: Operation) -> Operation:
        if not operation.offered_by(self.capabilities):
            raise operation.unsupported_by(self._name)
        return operation


def _with_warnings(spoken: Spoken, found: tuple[str, ...]) -> Spoken:
    """Add warnings about the text, which apply to every backend."""
    return replace(spoken, warnings=(*found, *spoken.warnings)) if found else spoken
