"""Speech for the engine's ``cine_production_service``, which expects results, not exceptions.

Expected errors are returned as results; programming errors are still raised.
"""

from __future__ import annotations

import logging
import time
from os import PathLike
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from storycore_tts.concurrency.closing import AsyncCloseable
from storycore_tts.domain.casting import CastVoice
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.presets import STYLES, clone_preset, training_preset
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.domain.sampling import SamplingOptions
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.entrypoints.storycore import lines
from storycore_tts.entrypoints.storycore.results import (
    QwenTTSGenerationResult,
    QwenTTSVoice,
    TrainingResult,
)
from storycore_tts.errors import TTSError
from storycore_tts.services.output import VoiceResult
from storycore_tts.services.training_times import DatasetSize
from storycore_tts.settings import QwenTTSConfig, load_config

_log = logging.getLogger(__name__)

# The engine's default addresses.
_OF_NOBODY = ("http://127.0.0.1:7860", "http://127.0.0.1:8188")


class QwenTTSService(AsyncCloseable):
    """The engine's ``QwenTTSService``, on the configured backend.

    On failure, methods return a result whose ``success`` is false. The object can be used again
    after ``close``.

    Args:
        comfyui_url: URL of the ComfyUI server. None, here and below: as configured. The engine's
            default addresses are ignored if the settings name a server.
        model_choice: "0.6B" or "1.7B".
        device: "auto", "cuda", "cuda:1", "mps", "xpu" or "cpu".
        precision: "bf16" or "fp32".
        timeout: Time limit of a job on ComfyUI, in seconds.
        config: Settings, the path of a YAML file, or None for the default locations.

    Raises:
        ConfigurationError: The settings are invalid.
    """

    def __init__(
        self,
        comfyui_url: str | None = None,
        model_choice: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        timeout: float | None = None,
        *,
        config: QwenTTSConfig | str | Path | None = None,
    ) -> None:
        self._speech = SpeechBySize(
            config,
            job_seconds=timeout,
            comfyui_url=_address(config, comfyui_url),
            model_choice=model_choice,
            device=device,
            precision=precision,
        )
        self._files = lines.SpeechFiles(self._speech, self.config.output_dir or lines.OUTPUT)
        self._custom: dict[str, QwenTTSVoice] = {}

    @property
    def config(self) -> QwenTTSConfig:
        """The settings in force."""
        return self._speech.config

    async def check_connection(self) -> bool:
        """Return whether the backend is reachable and usable."""
        await self._speech.refresh()
        try:
            return (await self._speech.tts().status()).reachable
        except TTSError as error:
            _tell("status", error)
            return False

    async def get_available_voices(self) -> list[QwenTTSVoice]:
        """List the voices: those of the backend, mapped ids, stored ones, and registered ones.

        Raises:
            BackendUnavailable: No backend is available; an empty list would hide that.
        """
        await self._speech.refresh()
        tts = self._speech.tts()
        sounds = {speaker.name: speaker.description for speaker in await tts.speakers()}
        found = await lines.listed(tts, self.config.voice_map)
        known = [
            QwenTTSVoice(
                id=one["id"],
                name=one["id"],
                language=one["language"],
                gender=one["gender"],
                description=sounds.get(one["id"], ""),
            )
            for one in found
        ]
        return [*known, *self._custom.values()]

    def register_custom_voice(
        self,
        voice_id: str,
        name: str,
        custom_model_path: str,
        custom_speaker_name: str,
        language: str = lines.ANY_LANGUAGE,
        gender: str = lines.UNKNOWN_GENDER,
        description: str = "",
    ) -> None:
        """Register a fine-tuned voice under an id, for the lifetime of this object.

        Args:
            voice_id: Id for ``text_to_speech``.
            name: Display name.
            custom_model_path: Folder of the checkpoint, as the backend sees it.
            custom_speaker_name: Name under which the voice was trained.
            language: Language name, code or locale.
            gender: Gender, for display.
            description: Description, for display.

        Raises:
            UnsupportedLanguage: The model does not speak the language.
        """
        self._custom[voice_id] = QwenTTSVoice(
            id=voice_id,
            name=name,
            language=lines.code_of(language),
            gender=gender,
            description=description,
            is_custom=True,
            custom_model_path=custom_model_path,
            custom_speaker_name=custom_speaker_name,
        )

    def unregister_custom_voice(self, voice_id: str) -> bool:
        """Remove a registered voice; return whether it existed."""
        return self._custom.pop(voice_id, None) is not None

    async def text_to_speech(
        self,
        text: str,
        voice: str | None = None,
        language: str | None = None,
        instruct: str = "",
        output_path: str | PathLike[str] | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> QwenTTSGenerationResult:
        """Generate a line and write it to a file.

        Args:
            text: Text to speak.
            voice: A registered, built-in or stored voice, an id of ``tts.qwen.voice_map``, or an id
                that begins with a locale. Anything else is the id or name of a character, whose
                voice is taken from ``cast.yaml`` or chosen and stored. None: the configured one.
            language: Language name, code or locale; None or "Auto": that of the voice.
            instruct: Style instruction in natural language, or the name of a style (see
                ``get_voice_instructions``), or of an emotion or direction of the engine, in any
                case; "neutral" adds nothing.
            output_path: File to write; None: a new .wav in ``tts.qwen.output_dir``, or in
                ``output/tts``, which the engine serves.
            **sampling: See ``SamplingOptions``.
        """
        await self._speech.refresh()
        wanted = voice or self.config.default_speaker
        try:
            spoken = await self._files.say(
                text,
                self._registered(wanted) or wanted,
                output_path,
                language=language,
                instruct=instruct,
                sampling=self.config.generation.sampling(**sampling),
            )
            return _result(spoken, wanted)
        except TTSError as error:
            return _no_speech(error, text, wanted)

    async def clone_voice(
        self,
        ref_audio_path: str | PathLike[str],
        target_text: str,
        ref_text: str = "",
        language: str | None = None,
        output_path: str | PathLike[str] | None = None,
        preset: str = "balanced",
        *,
        consent: str = "",
        **sampling: Unpack[SamplingOptions],
    ) -> QwenTTSGenerationResult:
        """Generate a line with a voice cloned from a recording.

        Args:
            ref_audio_path: Path of a local recording.
            target_text: Text to speak.
            ref_text: Verbatim transcript of the recording. Without it, only the timbre is cloned,
                and the result has a warning.
            language: Language name, code or locale; None or "Auto" lets the model detect it.
            output_path: File to write; None: a new .wav in ``tts.qwen.output_dir``, or in
                ``output/tts``, which the engine serves.
            preset: "fast", "balanced" or "quality".
            consent: Who agreed to the use of the recording, and when, in words; "": not stated.
            **sampling: See ``SamplingOptions``.
        """
        await self._speech.refresh()
        try:
            chosen = clone_preset(preset)
            spoken = await self._files.clone(
                target_text,
                ref_audio_path,
                output_path,
                transcript=ref_text or None,
                x_vector_only=chosen.x_vector_only,
                language=language,
                model_choice=chosen.model_choice,
                consent=consent,
                **sampling,
            )
            return _result(spoken, "cloned")
        except TTSError as error:
            return _no_speech(error, target_text, "cloned")

    async def train_model(
        self,
        audio_folder: str,
        output_dir: str,
        speaker_name: str,
        language: str = "English",
        preset: str = "standard",
        **terms: Any,
    ) -> TrainingResult:
        """Fine-tune a Base model to one speaker.

        Args:
            audio_folder: Recordings, each with a .txt of the same name, as the backend sees them.
            output_dir: Folder for the checkpoints, as the backend sees it.
            speaker_name: Name of the new voice.
            language: Language name, code or locale.
            preset: "quick", "standard", "quality" or "low_vram".
            **terms: Other fields of ``TrainingRequest``, which override the preset.
        """
        await self._speech.refresh()
        began = time.perf_counter()
        try:
            request = self._training(
                preset, audio_folder, output_dir, speaker_name, language, terms
            )
            voice = await self._speech.tts(request.model_choice).train(request)
        except TTSError as error:
            _tell("train", error)
            return TrainingResult(
                False, output_dir=output_dir, speaker_name=speaker_name, error_message=str(error)
            )
        return TrainingResult(
            True,
            checkpoint_path=voice.checkpoint_path,
            output_dir=output_dir,
            speaker_name=voice.speaker_name,
            num_epochs=voice.epochs,
            final_loss=voice.loss_history[-1] if voice.loss_history else None,
            training_time=time.perf_counter() - began,
            warnings=voice.warnings,
        )

    def get_voice_instructions(self) -> dict[str, str]:
        """Return the styles, as name -> style instruction."""
        return dict(STYLES)

    def estimate_training_time(
        self, num_audio_files: int, avg_audio_duration: float, preset: str = "standard"
    ) -> dict[str, Any]:
        """Estimate the duration of a training job from earlier ones on this backend.

        Args:
            num_audio_files: Number of recordings, at least 1.
            avg_audio_duration: Mean duration of the recordings, in seconds.
            preset: "quick", "standard", "quality" or "low_vram".

        Returns:
            ``steps``, ``total_audio_seconds``, ``estimated_seconds`` (None if no comparable job has
            been measured), ``measured_steps`` and a ``message``.

        Raises:
            InvalidRequest: The preset is unknown.
            StorageFailed: The records of earlier training jobs cannot be read.
        """
        request = self._training(preset, "dataset", "output", "speaker", "English", {})
        size = DatasetSize(num_audio_files, num_audio_files * avg_audio_duration)
        found = self._speech.tts(request.model_choice).estimate_training_time(request, size=size)
        return {
            "preset": preset,
            "steps": found.steps,
            "total_audio_seconds": found.audio_seconds,
            "estimated_seconds": found.seconds,
            "measured_steps": found.measured_steps,
            "message": str(found),
        }

    async def reload(self, config: QwenTTSConfig | str | Path | None = None) -> None:
        """Reload the settings and use them for new requests; see ``ConfiguredSpeech.reload``.

        Raises:
            TTSError: The settings are invalid, or a package is missing; the old ones stay in force.
        """
        await self._speech.reload(config)

    async def close(self) -> None:
        """Close the backend; the next request opens it again."""
        await self._speech.aclose()

    async def aclose(self) -> None:
        """See ``close``."""
        await self.close()

    def _registered(self, voice: str) -> CastVoice | None:
        custom = self._custom.get(voice)
        if custom is None:
            return None
        return CastVoice(custom.custom_speaker_name, custom.custom_model_path, custom.language)

    def _training(
        self,
        preset: str,
        dataset: str,
        output_dir: str,
        speaker_name: str,
        language: str,
        terms: dict[str, Any],
    ) -> TrainingRequest:
        usual = training_preset(preset).over(self.config.training.model_dump())
        return TrainingRequest(
            dataset, output_dir, speaker_name, **{**usual, "language": language, **terms}
        )


def _address(config: QwenTTSConfig | str | Path | None, given: str | None) -> str | None:
    """Return the URL that overrides the settings, or None for one of the engine's defaults."""
    if given not in _OF_NOBODY or isinstance(config, QwenTTSConfig):
        return given
    named = load_config(config)
    if named.sources["comfyui_url"] == "default":
        return given
    log_event(_log, logging.INFO, "comfyui_url.from_settings", url=named.config.comfyui_url)
    return None


def _result(spoken: VoiceResult, voice: str) -> QwenTTSGenerationResult:
    return QwenTTSGenerationResult(
        success=True,
        audio_path=str(spoken.audio_path),
        duration=spoken.duration,
        sample_rate=spoken.sample_rate,
        text=spoken.text,
        voice=voice,
        speaker=spoken.speaker,
        warnings=spoken.warnings,
    )


def _no_speech(error: Exception, text: str, voice: str) -> QwenTTSGenerationResult:
    _tell("speak", error)
    return QwenTTSGenerationResult(False, text=text, voice=voice, error_message=str(error))


def _tell(what: str, error: Exception) -> None:
    log_event(_log, logging.ERROR, f"{what}.failed", error=type(error).__name__)
