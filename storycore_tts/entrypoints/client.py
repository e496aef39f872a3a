"""The client of the plan: Qwen3 voices from a ComfyUI server, as files on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType

from typing_extensions import Unpack

from storycore_tts.container import Container
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import SamplingOptions
from storycore_tts.domain.speech import TrainedVoice
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.domain.training import TrainingOptions
from storycore_tts.domain.voices import Speaker
from storycore_tts.errors import ConfigurationError, InvalidRequest
from storycore_tts.ports import BackendStatus
from storycore_tts.services.files import exists
from storycore_tts.services.output import VoiceResult as VoiceResult
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.services.voicing import Asked
from storycore_tts.settings import QwenTTSConfig


class QwenTTSComfyUIClient:
    """Generates, clones and trains voices on a ComfyUI server.

    Use it as an async context manager, or call ``aclose``; without either, its connections end with
    the event loop.

    Args:
        config: Settings; None for the defaults. Whatever its ``backend`` and ``rollout`` say, this
            client asks ComfyUI, and its ``fallback`` while ComfyUI is unavailable.
        comfyui_url: The server, instead of the one in ``config``.

    Raises:
        ConfigurationError: An address that is none.
    """

    def __init__(
        self, config: QwenTTSConfig | None = None, *, comfyui_url: str | None = None
    ) -> None:
        if not isinstance(config, QwenTTSConfig | None):
            raise ConfigurationError(
                f"QwenTTSComfyUIClient takes a QwenTTSConfig, not {type(config).__name__}.",
                hint="QwenTTSComfyUIClient(comfyui_url='http://127.0.0.1:8188') is enough.",
            )
        values = {} if config is None else dict(config)
        values.update(backend="comfyui", rollout=None)
        if comfyui_url is not None:
            values["comfyui_url"] = comfyui_url
        self.config = QwenTTSConfig(**values)
        container = Container(config=self.config)
        self._tts = container.service()
        self._files = container.audio_folder()

    async def __aenter__(self) -> QwenTTSComfyUIClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def voices(self) -> VoiceLibrary:
        """The voices that are stored by name; its methods block."""
        return self._tts.voices

    async def generate_voice(
        self,
        text: str,
        speaker: str | None = None,
        *,
        language: str | None = None,
        instruct: str = "",
        strip_markup: bool | None = None,
        output_path: str | PathLike[str] | None = None,
        on_progress: OnProgress | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> VoiceResult:
        """Speak in a built-in voice, or in one that is stored.

        Args:
            text: What to say.
            speaker: One of ``get_available_speakers()``, or of ``voices.names()``, in any case;
                None for the default one.
            language: A language's name, code or locale; None for the stored voice's own, then for
                the configured one.
            instruct: How to say it, in words; the 0.6B model does not listen, and a voice that is
                cloned from a recording takes none.
            strip_markup: Leave Markdown, tags and emoji out of the text; None: as configured.
            output_path: Where to write: .wav, .flac, .mp3, .ogg, .opus or .aac; None for a new wav.
            on_progress: Hears how far the job is.
            **sampling: See ``SamplingOptions``.

        Raises:
            TTSError: See ``storycore_tts.errors``.
        """
        request = await self._tts.request_for(
            text,
            speaker=speaker,
            language=language,
            instruct=instruct,
            sampling=self.config.generation.sampling(**sampling),
            strip_markup=strip_markup,
        )
        return await self._speak(request, "voice", output_path, on_progress)

    async def generate_custom_voice(
        self,
        text: str,
        custom_model_path: str,
        custom_speaker_name: str,
        *,
        language: str | None = None,
        instruct: str = "",
        strip_markup: bool | None = None,
        output_path: str | PathLike[str] | None = None,
        on_progress: OnProgress | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> VoiceResult:
        """Speak in the voice of a fine-tuned model.

        Args:
            text: What to say.
            custom_model_path: Folder of the checkpoint **on the ComfyUI server**, in the spelling
                of that machine.
            custom_speaker_name: The name that the voice was trained under.
            language: A language's name, code or locale; None for the configured one.
            instruct: How to say it, in words; the 0.6B model does not listen.
            strip_markup: Leave Markdown, tags and emoji out of the text; None: as configured.
            output_path: Where to write: .wav, .flac, .mp3, .ogg, .opus or .aac; None for a new wav.
            on_progress: Hears how far the job is.
            **sampling: See ``SamplingOptions``.

        Raises:
            UnknownSpeaker: The checkpoint has no such speaker, or does not exist on the server.
            TTSError: See ``storycore_tts.errors``.
        """
        request = SpeechRequest(
            text=text,
            speaker=custom_speaker_name,
            checkpoint=custom_model_path,
            language=self._language(language),
            instruct=instruct,
            sampling=self.config.generation.sampling(**sampling),
            strip_markup=self._strip(strip_markup),
        )
        return await self._speak(request, "custom", output_path, on_progress)

    async def clone_voice(
        self,
        ref_audio: str | PathLike[str] | bytes | ReferenceAudio,
        target_text: str,
        *,
        ref_text: str | None = None,
        x_vector_only: bool | None = None,
        language: str | None = None,
        custom_model_path: str | None = None,
        instruct: str = "",
        strip_markup: bool | None = None,
        output_path: str | PathLike[str] | None = None,
        on_progress: OnProgress | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> VoiceResult:
        """Speak in the voice of a recording.

        Args:
            ref_audio: The recording: a file on this machine, its bytes, or samples; or the name
                of a voice that is stored with one, where no file has that name.
            target_text: What to say.
            ref_text: What is said in the recording, word for word.
            x_vector_only: Take the timbre only. None: only if there is no transcript; the result
                and its warnings say so.
            language: A language's name, code or locale; None for the stored voice's own, then for
                the configured one.
            custom_model_path: Folder of another Base model on the server; None for the stock one.
            instruct: How to say it, in words, where the node listens to it; a warning of the result
                says where it does not.
            strip_markup: Leave Markdown, tags and emoji out of the text; None: as configured.
            output_path: Where to write: .wav, .flac, .mp3, .ogg, .opus or .aac; None for a new wav.
            on_progress: Hears how far the job is.
            **sampling: See ``SamplingOptions``.

        Raises:
            InvalidReferenceAudio: The recording cannot be read, or holds nothing to clone.
            TTSError: See ``storycore_tts.errors``.
        """
        reference, own_language = await asyncio.to_thread(
            _reference, ref_audio, ref_text, self.voices
        )
        only = reference.transcript is None if x_vector_only is None else x_vector_only
        request = CloneRequest(
            text=target_text,
            reference=reference,
            x_vector_only=only,
            language=self._language(own_language if language is None else language),
            sampling=self.config.generation.sampling(**sampling),
            checkpoint=custom_model_path,
            instruct=instruct,
            strip_markup=self._strip(strip_markup),
        )
        return await self._speak(request, "clone", output_path, on_progress)

    async def train_model(
        self,
        audio_folder: str,
        output_dir: str,
        speaker_name: str,
        *,
        language: str = "English",
        test_text: str | None = None,
        on_progress: OnProgress | None = None,
        **parameters: Unpack[TrainingOptions],
    ) -> TrainedVoice:
        """Fine-tune the Base model of the configured size to one speaker.

        Args:
            audio_folder: Recordings, each with a .txt of the same name, **on the ComfyUI server**.
            output_dir: Folder for the checkpoints, on that server too.
            speaker_name: The new voice's name.
            language: A language's name, code or locale; the node takes Auto, Chinese, English,
                Japanese and Korean.
            test_text: What the validation samples say; None for an English sentence.
            on_progress: Hears epoch, step and loss.
            **parameters: Of the training, such as ``num_epochs``; see ``TrainingOptions``.

        Returns:
            The voice; its ``checkpoint_path`` is a folder on the server.

        Raises:
            InvalidDataset: The folder cannot be trained on.
            TTSError: See ``storycore_tts.errors``.
        """
        wanted = {"test_text": test_text, **parameters}
        given = {name: value for name, value in wanted.items() if value is not None}
        request = TrainingRequest(
            dataset=audio_folder,
            output_dir=output_dir,
            speaker_name=speaker_name,
            language=language,
            model_choice=self.config.model_choice,
            **{**self.config.training.model_dump(), **given},
        )
        return await self._tts.train(request, on_progress=on_progress)

    async def get_available_speakers(self) -> list[Speaker]:
        """List the built-in voices, as the server's node names them.

        Raises:
            BackendUnavailable: The server cannot be asked.
        """
        return await self._tts.speakers()

    async def get_model_status(self) -> BackendStatus:
        """Say how the server is: version, device, models, queue, nodes, and what is missing."""
        return await self._tts.status()

    async def aclose(self) -> None:
        """Close the connections of this event loop; safe to call twice."""
        await self._tts.aclose()

    async def _speak(
        self,
        request: SpeechRequest | CloneRequest,
        stem: str,
        output_path: str | PathLike[str] | None,
        on_progress: OnProgress | None,
    ) -> VoiceResult:
        return await self._files.speak(
            self._tts, Asked(request, ""), output_path, stem=stem, on_progress=on_progress
        )

    def _language(self, language: str | None) -> str:
        return self.config.default_language if language is None else language

    def _strip(self, markup: bool | None) -> bool:
        return self.config.strip_markup if markup is None else markup


def _reference(
    audio: str | PathLike[str] | bytes | ReferenceAudio,
    transcript: str | None,
    voices: VoiceLibrary,
) -> tuple[ReferenceAudio, str | None]:
    """Return a recording, and the language that its voice speaks, if it is stored with one."""
    if isinstance(audio, bytes):
        return ReferenceAudio.from_bytes(audio, transcript=transcript), None
    language = None
    if isinstance(audio, str) and not _is_here(audio) and (stored := voices.find(audio)):
        audio, language = _recording(stored), stored.language
    if not isinstance(audio, ReferenceAudio):
        return ReferenceAudio.from_file(audio, transcript=transcript), None
    return (audio if transcript is None else replace(audio, transcript=transcript)), language


def _is_here(path: str) -> bool:
    try:
        return exists(Path(path))
    except (OSError, ValueError):  # a name that no file can have, or a folder that is closed to us
        return False


def _recording(voice: StoredVoice) -> ReferenceAudio:
    if voice.reference is None:
        raise InvalidRequest(
            f"The stored voice {voice.name!r} is a fine-tuned checkpoint, not a recording.",
            hint=f"generate_voice(text, {voice.name!r}) speaks in it.",
        )
    return voice.reference
