"""Voices that a backend offers by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from storycore_tts.domain.errors import UnknownSpeaker, did_you_mean

Gender = Literal["female", "male", ""]
"""Whether a woman or a man speaks; "" for a voice that we know nothing about."""


@dataclass(frozen=True)
class Speaker:
    """A built-in voice.

    Args:
        name: In the spelling of the backend that offers it.
        description: How it sounds; "" for a voice that we know nothing about.
        language: Its native language, in the model's spelling; "" when unknown.
    """

    name: str
    description: str = ""
    language: str = ""


# What the model card says of the nine voices of the CustomVoice models. This describes voices;
# which of them exist is always asked of the backend.
_DESCRIPTIONS = {
    "vivian": ("bright, slightly edgy young woman", "Chinese"),
    "serena": ("warm, gentle young woman", "Chinese"),
    "uncle_fu": ("seasoned man, low and mellow", "Chinese"),
    "dylan": ("youthful man from Beijing", "Chinese"),
    "eric": ("lively, husky man from Sichuan", "Chinese"),
    "ryan": ("dynamic man with a strong rhythm", "English"),
    "aiden": ("sunny American man", "English"),
    "ono_anna": ("playful woman", "Japanese"),
    "sohee": ("warm woman", "Korean"),
}

# Who speaks a language that none of them was born to.
_USUAL = {"female": "serena", "male": "ryan"}


def is_built_in(name: object) -> bool:
    """Tell whether this is the name of one of the model's nine voices, in any spelling of it."""
    return isinstance(name, str) and _folded(name) in _DESCRIPTIONS


def built_in_speakers() -> list[Speaker]:
    """Return the model's nine voices, whether or not a backend offers them."""
    return [described(name.capitalize()) for name in _DESCRIPTIONS]


def gender_of(name: str) -> Gender:
    """Tell whether a built-in voice is a woman's or a man's; "" for any other voice."""
    description, _ = _DESCRIPTIONS.get(_folded(name), ("", ""))
    words = description.replace(",", "").split()
    return "female" if "woman" in words else "male" if "man" in words else ""


def built_in_speaker(gender: Literal["female", "male"], language: str = "") -> str:
    """Return a built-in voice of a woman or a man, a native speaker if there is one.

    Args:
        gender: Whose voice it is.
        language: In the model's spelling.
    """
    fitting = [name for name in _DESCRIPTIONS if gender_of(name) == gender]
    native = (name for name in fitting if _DESCRIPTIONS[name][1] == language)
    return next(native, _USUAL[gender]).title()


def described(name: str) -> Speaker:
    """Return the speaker of that name, with what the model card says of it, if anything."""
    description, language = _DESCRIPTIONS.get(_folded(name), ("", ""))
    return Speaker(name, description, language)


def find_speaker(wanted: str, offered: Iterable[str], *, backend: str) -> str:
    """Return the backend's own spelling of a speaker: "uncle fu" finds "Uncle_fu".

    Raises:
        UnknownSpeaker: None of the offered names matches; the message lists them.
    """
    names = list(offered)
    for name in names:
        if _folded(name) == _folded(wanted):
            return name
    raise UnknownSpeaker(
        f"There is no speaker {wanted!r} on the {backend} backend.{did_you_mean(wanted, names)}",
        hint=f"Speakers there: {', '.join(names)}.",
        backend=backend,
    )


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")
