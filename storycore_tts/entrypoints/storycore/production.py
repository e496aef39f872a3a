"""Speech for the engine's ``cine_production_service``: results that say whether it worked.

Expected errors become results here, at this edge; mistakes in a program stay exceptions.
"""

from __future__ import annotations

import logging
import time
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Unpack

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

# What the engine passes where its own settings say nothing.
_OF_NOBODY = ("http://127.0.0.1:7860", "http://127.0.0.1:8188")


class QwenTTSService:
    """The engine's ``QwenTTSService``, on whatever backend is configured.

    What goes wrong is told by a result whose ``success`` is false. It may be used again after
    ``close``.

    Args:
        comfyui_url: The ComfyUI server; None, here and below, for what the settings say. Where they
            name one, the addresses that the engine passes by default do not count.
        model_choice: "0.6B" or "1.7B".
        device: "auto", "cuda", "cuda:1", "mps", "xpu" or "cpu".
        precision: "bf16" or "fp32".
        timeout: Seconds that one job may take on ComfyUI.
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        ConfigurationError: The settings are refused.
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

    async def __aenter__(self) -> QwenTTSService:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def config(self) -> QwenTTSConfig:
        """The settings in force."""
        return self._speech.config

    async def check_connection(self) -> bool:
        """Tell whether the backend answers and can speak."""
        await self._speech.refresh()
        try:
            return (await self._speech.tts().status()).reachable
        except TTSError as error:
            _tell("status", error)
            return False

    async def get_available_voices(self) -> list[QwenTTSVoice]:
        """List the voices: the backend's own, mapped ids, stored ones, and those registered here.

        Raises:
            BackendUnavailable: Nobody could be asked; an empty list would hide that.
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
        """Let a fine-tuned voice be asked for by an id, as long as this object lives.

        Args:
            voice_id: What ``text_to_speech`` will take.
            name: For people to read.
            custom_model_path: Folder of the checkpoint, as the backend sees it.
            custom_speaker_name: The name that the voice was trained under.
            language: A language's name, code or locale.
            gender: For people to read.
            description: For people to read.

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
        """Forget a voice that was registered; tell whether there was one."""
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
        """Speak a line into a file.

        Args:
            text: What to say.
            voice: A registered, built-in or stored voice, an id of ``tts.qwen.voice_map``, or one
                that begins with a locale; anything else is a character's id or name, and
                ``cast.yaml`` says who speaks, or a fitting voice is chosen and remembered. None for
                the configured one.
            language: A language's name, code or locale; None or "Auto" for the voice's own.
            instruct: How to say it, in words, or the name of a style (``get_voice_instructions``),
                an emotion or a direction of the engine's, in any case; "neutral" says nothing.
            output_path: Where to write; None for a new wav in ``tts.qwen.output_dir``, or in
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
        **sampling: Unpack[SamplingOptions],
    ) -> QwenTTSGenerationResult:
        """Speak a line in the voice of a recording.

        Args:
            ref_audio_path: The recording, on this machine.
            target_text: What to say.
            ref_text: What is said in the recording, word for word; without it, only the timbre is
                taken, and the result's warnings say so.
            language: A language's name, code or locale; None or "Auto" lets the model judge.
            output_path: Where to write; None for a new wav in ``tts.qwen.output_dir``, or in
                ``output/tts``, which the engine serves.
            preset: "fast", "balanced" or "quality".
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
            speaker_name: The new voice's name.
            language: A language's name, code or locale.
            preset: "quick", "standard", "quality" or "low_vram".
            **terms: More of ``TrainingRequest``, in place of what the preset says.
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
        """Return the styles: name -> what ``instruct`` says for it."""
        return dict(STYLES)

    def estimate_training_time(
        self, num_audio_files: int, avg_audio_duration: float, preset: str = "standard"
    ) -> dict[str, Any]:
        """Reckon how long a training would take, by what earlier ones took on this backend.

        Args:
            num_audio_files: Recordings, at least one.
            avg_audio_duration: Their mean length in seconds.
            preset: "quick", "standard", "quality" or "low_vram".

        Returns:
            ``steps``, ``total_audio_seconds``, ``estimated_seconds`` (None while no training of
            that kind has been measured), ``measured_steps`` and a ``message``.

        Raises:
            InvalidRequest: There is no such preset.
            StorageFailed: The notes of earlier trainings cannot be read.
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
        """Read the settings again, and use them for what is asked from now on.

        Raises:
            TTSError: They are refused, or a package is missing; everything stays as it was.
        """
        await self._speech.reload(config)

    async def close(self) -> None:
        """Close the backend; the next request opens it again."""
        await self._speech.aclose()

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
    """Return the address that overrides the settings; None if it is only the engine's default."""
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
