"""Speech for the engine's ``AIVideoEditorService``, in place of its own ``TTSService``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from storycore_tts.concurrency.closing import AsyncCloseable
from storycore_tts.domain.logs import log_event
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.entrypoints.storycore import lines
from storycore_tts.errors import InvalidRequest
from storycore_tts.settings import QwenTTSConfig

_log = logging.getLogger(__name__)

QWEN = "qwen"
"""The value of ``AIConfig.tts_model`` that selects this package."""


class AIConfig(Protocol):
    """The attributes of the engine's ``AIConfig`` that are read."""

    tts_model: str
    tts_default_voice: str
    temp_dir: str


class Editor(Protocol):
    """The attributes of the engine's ``AIVideoEditorService`` that are used."""

    config: Any
    tts: Any


@dataclass
class TTSResult:
    """Speech in a file, with the fields of the engine's own class.

    Args:
        audio_path: Path of the local file.
        duration: Duration in seconds.
        sample_rate: Sample rate in Hz.
        text: The spoken text.
        voice: The requested voice id.
        speaker: The voice that was used.
        warnings: Warnings, such as a voice chosen for a character without one.
    """

    audio_path: str
    duration: float
    sample_rate: int
    text: str
    voice: str
    speaker: str = ""
    warnings: tuple[str, ...] = ()


class QwenComfyUITTSService(AsyncCloseable):
    """Drop-in replacement for ``AIVideoEditorService.tts``, on the configured backend.

    Errors are the exceptions of ``storycore_tts.errors``. Use it as an async context
    manager, or call ``aclose``; otherwise its connections are closed with the event loop.

    Args:
        ai_config: The engine's ``AIConfig``, for the default voice and the folder of unnamed files.
            None: as configured in the settings.
        config: Settings, the path of a YAML file, or None for the default locations.

    Raises:
        ConfigurationError: The settings are invalid.
    """

    def __init__(
        self,
        ai_config: AIConfig | None = None,
        *,
        config: QwenTTSConfig | str | Path | None = None,
    ) -> None:
        self.config = ai_config
        self.replaced: Any = None
        """The engine's service that ``install`` replaced, if any."""
        self._speech = SpeechBySize(config)
        own = ai_config.temp_dir if ai_config is not None else self._speech.config.output_dir
        self._files = lines.SpeechFiles(self._speech, own)

    async def load_model(self, model_type: str | None = None) -> None:
        """Check that a backend is available.

        Args:
            model_type: "qwen", or None, which means the same.

        Raises:
            InvalidRequest: The model is not "qwen".
            BackendUnavailable: No backend is available.
        """
        if model_type not in (None, QWEN):
            raise InvalidRequest(
                f"This service supports only the model {QWEN!r}, not {model_type!r}.",
                hint="Set AIConfig.tts_model before storycore_tts.install is called.",
            )
        await self._speech.refresh()
        await self._speech.tts().speakers()

    async def get_available_voices(self) -> list[dict[str, str]]:
        """List the voices: mapped ids, those of the backend, and stored ones.

        Returns:
            The ``id``, ``language`` ("fr", or "auto") and ``gender`` ("female", "male" or
            "unknown") of each.

        Raises:
            BackendUnavailable: No backend is available.
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
        """Generate a line and write it to a file.

        Args:
            text: Text to speak.
            voice: A built-in or stored voice, an id of ``tts.qwen.voice_map``, or an id that begins
                with a locale. Anything else is the id or name of a character, whose voice is taken
                from ``cast.yaml`` or chosen and stored. None: the engine's default.
            speed: 0.25..4; 2 is twice as fast, at the same pitch.
            pitch: 0.5..2; 2 is an octave up, at the same speed.
            output_path: .wav, .flac, .mp3, .ogg, .opus, .aac or .m4a file to write; None: a new
                .wav in the engine's ``temp_dir``.

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
        """Reload the settings and use them for new requests; see ``ConfiguredSpeech.reload``.

        Raises:
            TTSError: The settings are invalid, or a package is missing; the old ones stay in force.
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
    """Replace ``service.tts`` of an ``AIVideoEditorService`` if its ``tts_model`` is "qwen".

    Nothing else of the service is changed, and no backend is opened before the first line. Further
    calls have no effect.

    Args:
        service: The engine's ``AIVideoEditorService``.
        config: Settings, the path of a YAML file, or None for the default locations.

    Returns:
        The new ``service.tts``, or None if ``AIConfig.tts_model`` is not "qwen" and nothing was
        changed.

    Raises:
        ConfigurationError: The settings are invalid.
    """
    if service.config.tts_model != QWEN:
        return None
    if isinstance(service.tts, QwenComfyUITTSService):
        return service.tts
    speaking = QwenComfyUITTSService(service.config, config=config)
    speaking.replaced, service.tts = service.tts, speaking
    return speaking


async def uninstall(service: Editor) -> None:
    """Restore the engine's own ``TTSService`` and close the one from ``install``."""
    speaking = service.tts
    if isinstance(speaking, QwenComfyUITTSService) and speaking.replaced is not None:
        service.tts = speaking.replaced
        await speaking.aclose()
