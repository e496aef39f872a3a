"""Voices that stand in for those of other speech services."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from storycore_tts.domain.languages import language_named
from storycore_tts.errors import UnsupportedLanguage
from storycore_tts.settings.block import SettingsBlock


class VoiceMapping(SettingsBlock):
    """The voice that stands in for a voice id of another speech service."""

    speaker: Annotated[str, Field(min_length=1)]
    """Name of a built-in voice, or of a stored one."""
    language: str | None = None
    """A language's name, code or locale; None: the voice's own, or as configured."""

    @field_validator("language")
    @classmethod
    def _language_is_spoken(cls, value: str | None) -> str | None:
        return None if value is None else spoken(value)


def voices_of_others() -> dict[str, VoiceMapping]:
    """Return what stands in for the voices of StoryCore-Engine, OpenAI and Kokoro."""
    openai = {
        "alloy": "Serena",
        "ash": "Aiden",
        "ballad": "Dylan",
        "cedar": "Ryan",
        "coral": "Vivian",
        "echo": "Eric",
        "fable": "Dylan",
        "marin": "Serena",
        "nova": "Vivian",
        "onyx": "Uncle_Fu",
        "sage": "Sohee",
        "shimmer": "Ono_Anna",
        "verse": "Ryan",
        "af_bella": "Vivian",  # what clients of Kokoro ship, and the next
        "af_heart": "Serena",
    }
    return {
        **{name: VoiceMapping(speaker=speaker) for name, speaker in openai.items()},
        "fr-FR-Denise": VoiceMapping(speaker="Serena", language="French"),
        "fr-FR-Thierry": VoiceMapping(speaker="Ryan", language="French"),
        "en-US-Guy": VoiceMapping(speaker="Aiden", language="English"),
        "en-US-Jenny": VoiceMapping(speaker="Vivian", language="English"),
        "es-ES-Alvaro": VoiceMapping(speaker="Dylan", language="Spanish"),
        "de-DE-Conrad": VoiceMapping(speaker="Uncle_Fu", language="German"),
    }


def spoken(language: str) -> str:
    """Return the model's name of a language."""
    try:
        return language_named(language)
    except UnsupportedLanguage as error:
        raise ValueError(str(error)) from None
