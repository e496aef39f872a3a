"""Mapping of other services' voice ids to voices of the model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from storycore_tts.domain.languages import language_named
from storycore_tts.errors import UnsupportedLanguage
from storycore_tts.settings.block import SettingsBlock


class VoiceMapping(SettingsBlock):
    """The voice that replaces a voice id of another speech service."""

    speaker: Annotated[str, Field(min_length=1)]
    """Name of a built-in or stored voice."""
    language: str | None = None
    """Language name, code or locale; None: that of the voice, or the configured default."""

    @field_validator("language")
    @classmethod
    def _language_is_spoken(cls, value: str | None) -> str | None:
        return None if value is None else spoken(value)


def voices_of_others() -> dict[str, VoiceMapping]:
    """Return the default mapping for the voices of StoryCore-Engine, OpenAI and Kokoro."""
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
        "af_bella": "Vivian",  # Kokoro, as is the next
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
    """Return the model's name for a language.

    Args:
        language: A name, code or locale.

    Raises:
        ValueError: The model does not speak it.
    """
    try:
        return language_named(language)
    except UnsupportedLanguage as error:
        raise ValueError(str(error)) from None
