"""A small caller with the engine's names and signatures, written for these tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class AIConfig:
    """The fields that are about speech, with the engine's defaults."""

    tts_model: str = "coqui"
    tts_default_voice: str = "fr-FR-Denise"
    temp_dir: str = "data/temp"


class TTSService:
    """Stands where the engine's own service does, and cannot speak."""

    def __init__(self, config: AIConfig) -> None:
        self.config = config

    async def text_to_speech(self, **_: Any) -> Any:
        raise AssertionError("the engine's own service was asked")


class AIVideoEditorService:
    """Holds a TTS service and others."""

    def __init__(self, config: AIConfig) -> None:
        self.config = config
        self.transcription = object()
        self.tts: Any = TTSService(config)

    async def voice_over(self, text: str, **how: Any) -> Any:
        """Ask as the editor does."""
        await self.tts.load_model()
        return await self.tts.text_to_speech(text, **how)


async def speaking_character(tts_service: Any, text: str, voice_id: str, tone: str | None) -> str:
    """Ask as the production service does; the path of the audio."""
    result = await tts_service.text_to_speech(text=text, voice=voice_id, instruct=tone or "neutral")
    if not result.success:
        raise RuntimeError(f"TTS Failed: {result.error_message}")
    return str(result.audio_path)
