"""Python client: Qwen3 voices from a ComfyUI server, as local files."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from os import PathLike
from pathlib import Path

from typing_extensions import Unpack

from storycore_tts.concurrency.closing import AsyncCloseable
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
from storycore_tts.services.voicing import VoicedRequest
from storycore_tts.settings import QwenTTSConfig


class QwenTTSComfyUIClient(AsyncCloseable):
    """Generates, clones and trains voices on a ComfyUI server.

    Use it as an async context manager, or call ``aclose``; otherwise its connections are closed
    with the event loop.

    Args:
        config: Settings; None: the defaults. ``backend`` and ``rollout`` are ignored: the client
            always uses ComfyUI, and ``fallback`` while ComfyUI is unavailable.
        comfyui_url: URL of the server, instead of the one in ``config``.

    Raises:
        ConfigurationError: The URL is invalid, or ``config`` is not a ``QwenTTSConfig``.
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

    @property
    def voices(self) -> VoiceLibrary:
        """The library of stored voices; its methods block."""
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
        """Speak a text with a built-in or stored voice.

        Args:
            text: Text to speak.
            speaker: One of ``get_available_speakers()`` or ``voices.names()``, in any case; None:
                the default one.
            language: Language name, code or locale; None: that of the stored voice, or the
                configured one.
            instruct: Style instruction in natural language; ignored by the 0.6B model, and invalid
                for a voice cloned from a recording.
            strip_markup: Remove Markdown, tags and emoji from the text; None: as configured.
            output_path: .wav, .flac, .mp3, .ogg, .opus, .aac or .m4a file to write; None: a new
                .wav.
            on_progress: Progress callback.
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
        """Speak a text with the voice of a fine-tuned model.

        Args:
            text: Text to speak.
            custom_model_path: Folder of the checkpoint **on the ComfyUI server**, in that machine's
                path syntax.
            custom_speaker_name: Name under which the voice was trained.
            language: Language name, code or locale; None: the configured one.
            instruct: Style instruction in natural language; ignored by the 0.6B model.
            strip_markup: Remove Markdown, tags and emoji from the text; None: as configured.
            output_path: .wav, .flac, .mp3, .ogg, .opus, .aac or .m4a file to write; None: a new
                .wav.
            on_progress: Progress callback.
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
        consent: str = "",
        strip_markup: bool | None = None,
        output_path: str | PathLike[str] | None = None,
        on_progress: OnProgress | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> VoiceResult:
        """Speak a text with a voice cloned from a recording.

        Args:
            ref_audio: The recording: path of a local file, its bytes, or samples; or, if no file
                has that name, the name of a voice stored with a recording.
            target_text: Text to speak.
            ref_text: Verbatim transcript of the recording.
            x_vector_only: Clone the timbre only. None: only if there is no transcript, in which
                case the result has a warning.
            language: Language name, code or locale; None: that of the stored voice, or the
                configured one.
            custom_model_path: Folder of another Base model on the server; None: the stock one.
            instruct: Style instruction in natural language. If the node ignores it, the result has
                a warning.
            consent: Who agreed to the use of the recording, and when, in words. Not needed for a
                stored voice, which has a consent of its own.
            strip_markup: Remove Markdown, tags and emoji from the text; None: as configured.
            output_path: .wav, .flac, .mp3, .ogg, .opus, .aac or .m4a file to write; None: a new
                .wav.
            on_progress: Progress callback.
            **sampling: See ``SamplingOptions``.

        Raises:
            InvalidReferenceAudio: The recording cannot be read or cloned.
            TTSError: See ``storycore_tts.errors``.
        """
        reference, stored = await asyncio.to_thread(_reference, ref_audio, ref_text, self.voices)
        if language is None and stored is not None:
            language = stored.language
        only = reference.transcript is None if x_vector_only is None else x_vector_only
        request = CloneRequest(
            text=target_text,
            reference=reference,
            x_vector_only=only,
            language=self._language(language),
            sampling=self.config.generation.sampling(**sampling),
            checkpoint=custom_model_path,
            instruct=instruct,
            consent=consent,
            voice_consent=stored.consent_reference if stored else None,
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
            audio_folder: Folder of recordings, each with its transcript in a .txt file of the same
                name, **on the ComfyUI server**.
            output_dir: Folder for the checkpoints, on the same server.
            speaker_name: Name of the new voice.
            language: Language name, code or locale; the node supports Auto, Chinese, English,
                Japanese and Korean.
            test_text: Text of the validation samples; None: an English sentence.
            on_progress: Progress callback; receives epoch, step and loss.
            **parameters: Training parameters, such as ``num_epochs``; see ``TrainingOptions``.

        Returns:
            The voice; its ``checkpoint_path`` is a folder on the server.

        Raises:
            InvalidDataset: The folder is not a usable dataset.
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
        """List the built-in voices, as named by the server's node.

        Raises:
            BackendUnavailable: The server cannot be reached.
        """
        return await self._tts.speakers()

    async def get_model_status(self) -> BackendStatus:
        """Return the server's status: version, device, models, queue, nodes and problems."""
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
            self._tts, VoicedRequest(request, ""), output_path, stem=stem, on_progress=on_progress
        )

    def _language(self, language: str | None) -> str:
        return self.config.default_language if language is None else language

    def _strip(self, markup: bool | None) -> bool:
        return self.config.strip_markup if markup is None else markup


def _reference(
    audio: str | PathLike[str] | bytes | ReferenceAudio,
    transcript: str | None,
    voices: VoiceLibrary,
) -> tuple[ReferenceAudio, StoredVoice | None]:
    """Return the recording, and the stored voice that it comes from, if any."""
    if isinstance(audio, bytes):
        return ReferenceAudio.from_bytes(audio, transcript=transcript), None
    stored = None
    if isinstance(audio, str) and not _is_here(audio) and (stored := voices.find(audio)):
        audio = _recording(stored)
    if not isinstance(audio, ReferenceAudio):
        return ReferenceAudio.from_file(audio, transcript=transcript), None
    return (audio if transcript is None else replace(audio, transcript=transcript)), stored


def _is_here(path: str) -> bool:
    try:
        return exists(Path(path))
    except (OSError, ValueError):  # not a valid file name, or no permission
        return False


def _recording(voice: StoredVoice) -> ReferenceAudio:
    if voice.reference is None:
        raise InvalidRequest(
            f"The stored voice {voice.name!r} is a fine-tuned checkpoint, not a recording.",
            hint=f"Use generate_voice(text, {voice.name!r}) instead.",
        )
    return voice.reference
