"""Built-in voices of the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from storycore_tts.errors import UnknownSpeaker, did_you_mean

Gender = Literal["female", "male", ""]
"""Gender of a voice; "" if unknown."""


@dataclass(frozen=True)
class Speaker:
    """A built-in voice.

    Args:
        name: In the backend's spelling.
        description: How it sounds; "" if unknown.
        language: Its native language, in the model's spelling; "" if unknown.
    """

    name: str
    description: str = ""
    language: str = ""


# Descriptions of the nine CustomVoice voices, from the model card. Only the backend knows which
# of them are available.
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

# Voices for languages without a native speaker.
_USUAL = {"female": "serena", "male": "ryan"}


def is_built_in(name: object) -> bool:
    """Return whether a name, in any spelling, is one of the model's nine voices."""
    return isinstance(name, str) and _folded(name) in _DESCRIPTIONS


def built_in_speakers() -> list[Speaker]:
    """Return the model's nine voices, even if the backend does not offer them."""
    return [described(name.capitalize()) for name in _DESCRIPTIONS]


def gender_of(name: str) -> Gender:
    """Return the gender of a built-in voice; "" for other voices."""
    description, _ = _DESCRIPTIONS.get(_folded(name), ("", ""))
    words = description.replace(",", "").split()
    return "female" if "woman" in words else "male" if "man" in words else ""


def built_in_speaker(gender: Literal["female", "male"], language: str = "") -> str:
    """Return a built-in voice of a gender, a native speaker of the language if there is one.

    Args:
        gender: "female" or "male".
        language: In the model's spelling.
    """
    fitting = [name for name in _DESCRIPTIONS if gender_of(name) == gender]
    native = (name for name in fitting if _DESCRIPTIONS[name][1] == language)
    return next(native, _USUAL[gender]).title()


def described(name: str) -> Speaker:
    """Return the speaker of that name, with the model card's description, if there is one."""
    description, language = _DESCRIPTIONS.get(_folded(name), ("", ""))
    return Speaker(name, description, language)


def find_speaker(wanted: str, offered: Iterable[str], *, backend: str) -> str:
    """Return the backend's spelling of a speaker: "uncle fu" finds "Uncle_fu".

    Args:
        wanted: The requested name, in any spelling.
        offered: Names that the backend offers.
        backend: Name of the backend, for the error message.

    Raises:
        UnknownSpeaker: No offered name matches; the hint lists them.
    """
    names = list(offered)
    for name in names:
        if _folded(name) == _folded(wanted):
            return name
    raise UnknownSpeaker(
        f"The {backend} backend has no speaker {wanted!r}.{did_you_mean(wanted, names)}",
        hint=f"Available speakers: {', '.join(names)}.",
        backend=backend,
    )


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")
