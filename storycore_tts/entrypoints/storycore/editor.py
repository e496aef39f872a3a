"""Speech for the engine's ``AIVideoEditorService``, in place of its own ``TTSService``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from storycore_tts.domain.logs import log_event
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.entrypoints.storycore import lines
from storycore_tts.errors import InvalidRequest
from storycore_tts.settings import QwenTTSConfig

_log = logging.getLogger(__name__)

QWEN = "qwen"
"""What ``AIConfig.tts_model`` says when this package shall speak."""


class AIConfig(Protocol):
    """What is read of the engine's own ``AIConfig``."""

    tts_model: str
    tts_default_voice: str
    temp_dir: str


class Editor(Protocol):
    """What is touched of the engine's ``AIVideoEditorService``."""

    config: Any
    tts: Any


@dataclass
class TTSResult:
    """Speech in a file, with the fields of the engine's own class.

    Args:
        audio_path: The file, on this machine.
        duration: In seconds.
        sample_rate: In Hz.
        text: What was said.
        voice: The id that was asked for.
        speaker: The voice that spoke.
        warnings: What was done in spite of doubts, such as a voice for a character without one.
    """

    audio_path: str
    duration: float
    sample_rate: int
    text: str
    voice: str
    speaker: str = ""
    warnings: tuple[str, ...] = ()


class QwenComfyUITTSService:
    """What ``AIVideoEditorService.tts`` is asked for, from whatever backend is configured.

    Errors are the exceptions of ``storycore_tts.errors``. Use it as an async context
    manager, or call ``aclose``; without either, its connections end with the event loop.

    Args:
        ai_config: The engine's ``AIConfig``: the default voice, and the folder for files without a
            name. None: as configured here.
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        ConfigurationError: The settings are refused.
    """

    def __init__(
        self,
        ai_config: AIConfig | None = None,
        *,
        config: QwenTTSConfig | str | Path | None = None,
    ) -> None:
        self.config = ai_config
        self.replaced: Any = None
        """The service in whose place this one was put, if it was."""
        self._speech = SpeechBySize(config)
        own = ai_config.temp_dir if ai_config is not None else self._speech.config.output_dir
        self._files = lines.SpeechFiles(self._speech, own)

    async def __aenter__(self) -> QwenComfyUITTSService:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def load_model(self, model_type: str | None = None) -> None:
        """Make sure that a backend can speak.

        Args:
            model_type: "qwen", or None for it.

        Raises:
            InvalidRequest: Another model: this service has none.
            BackendUnavailable: Nobody can speak.
        """
        if model_type not in (None, QWEN):
            raise InvalidRequest(
                f"This service speaks with {QWEN!r}, not with {model_type!r}.",
                hint="Set AIConfig.tts_model before storycore_tts.install is called.",
            )
        await self._speech.refresh()
        await self._speech.tts().speakers()

    async def get_available_voices(self) -> list[dict[str, str]]:
        """List the voices: mapped ids, the backend's own, and those that are stored.

        Returns:
            For each its ``id``, ``language`` ("fr", or "auto") and ``gender`` ("female", "male" or
            "unknown").

        Raises:
            BackendUnavailable: Nobody could be asked.
        """
        await self._speech.refresh()
        return await lines.listed(self._speech.tts(), self._speech.config.voice_map)

    async def text_to_speech(
        self,
        text: str,
        voice: str | None = None,
        speed: float = 1.0,
        pitch: float = 1.0,
        output_path: str | PathLike[str] | None = None,
    ) -> TTSResult:
        """Speak a line into a file.

        Args:
            text: What to say.
            voice: A built-in or stored voice, an id of ``tts.qwen.voice_map``, or one that begins
                with a locale; anything else is a character's id or name, and ``cast.yaml`` says who
                speaks, or a fitting voice is chosen and remembered. None for the engine's default.
            speed: 0.25..4; 2 is twice as fast, at the same pitch.
            pitch: 0.5..2; 2 is an octave up, at the same pace.
            output_path: Where to write: .wav, .flac, .mp3, .ogg, .opus or .aac; None for a new wav
                in the engine's ``temp_dir``.

        Raises:
            TTSError: See ``storycore_tts.errors``.
        """
        await self._speech.refresh()
        wanted = voice or self._default_voice()
        spoken = await self._files.say(
            text, wanted, output_path, stem="tts", speed=speed, pitch=pitch
        )
        for warning in spoken.warnings:
            log_event(_log, logging.WARNING, "speech.doubtful", warning=warning)
        return TTSResult(
            audio_path=str(spoken.audio_path),
            duration=spoken.duration,
            sample_rate=spoken.sample_rate,
            text=text,
            voice=wanted,
            speaker=spoken.speaker,
            warnings=spoken.warnings,
        )

    async def reload(self, config: QwenTTSConfig | str | Path | None = None) -> None:
        """Read the settings again, and use them for what is asked from now on.

        Raises:
            TTSError: They are refused, or a package is missing; everything stays as it was.
        """
        await self._speech.reload(config)

    async def aclose(self) -> None:
        """Close the backend; the next request opens it again."""
        await self._speech.aclose()

    def _default_voice(self) -> str:
        if self.config is None:
            return self._speech.config.default_speaker
        return self.config.tts_default_voice


def install(
    service: Editor, config: QwenTTSConfig | str | Path | None = None
) -> QwenComfyUITTSService | None:
    """Let this package speak for an ``AIVideoEditorService`` whose ``AIConfig`` asks for it.

    Nothing else of the service is touched, and nothing is opened before the first line. Called
    again, it changes nothing.

    Args:
        service: The engine's ``AIVideoEditorService``.
        config: Settings, the path of a YAML file, or None for the usual places.

    Returns:
        What stands in ``service.tts`` now; None where ``AIConfig.tts_model`` is not "qwen", and
        nothing was done.

    Raises:
        ConfigurationError: The settings are refused.
    """
    if service.config.tts_model != QWEN:
        return None
    if isinstance(service.tts, QwenComfyUITTSService):
        return service.tts
    speaking = QwenComfyUITTSService(service.config, config=config)
    speaking.replaced, service.tts = service.tts, speaking
    return speaking


async def uninstall(service: Editor) -> None:
    """Put the engine's own ``TTSService`` back and close what ``install`` opened."""
    speaking = service.tts
    if isinstance(speaking, QwenComfyUITTSService) and speaking.replaced is not None:
        service.tts = speaking.replaced
        await speaking.aclose()
