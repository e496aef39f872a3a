"""Voice ids of other speech services, such as "fr-FR-Denise", and who speaks for them here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from storycore_tts.domain.languages import language_named
from storycore_tts.domain.voices import Gender, built_in_speaker, gender_of, is_built_in

_LOCALE = re.compile(r"(?P<language>[a-z]{2,3})[-_](?P<region>[a-z]{2})(?:[-_](?P<rest>.+))?", re.I)

# First names of the voices that Microsoft's services offer in the model's languages: ids of this
# form come from there. Whoever is missing is spoken by the configured speaker.
_WOMEN = """
    amala amber ana aria ashley aurora brigitte celeste coralie cora dalia denise elizabeth eloise
    elsa elvira emma fabiola francisca hollie isabella jane jacqueline jenny josephine katja keiko
    libby luna maisie mayu michelle molly monica nancy nanami natasha raquel sara seraphina sonia
    sunhi svetlana vivienne xiaochen xiaohan xiaomo xiaorui xiaoshuang xiaoxiao xiaoyi ximena
    yvette zira
"""
_MEN = """
    alain alvaro andrew antonio brandon brian christopher claude conrad daichi davis diego dmitry
    duarte florian giuseppe guy henri hyunsu injoon jacob jason jerome jorge keita killian maurice
    remy roger ryan steffan thierry thomas tony william yunfeng yunhao yunjian yunxi yunxia yunyang
    yves
"""
_GENDERS: Mapping[str, Gender] = {
    **dict.fromkeys(_WOMEN.split(), "female"),
    **dict.fromkeys(_MEN.split(), "male"),
    **dict.fromkeys(("female", "woman", "girl", "f"), "female"),
    **dict.fromkeys(("male", "man", "boy", "m"), "male"),
}
_SUFFIXES = re.compile(r"(multilingual|neural|standard|wavenet|online)+$")


@dataclass(frozen=True)
class VoiceChoice:
    """Who speaks for a voice id.

    Args:
        speaker: Name of a voice; the backend, or the library of stored ones, knows it.
        language: In the model's spelling; None: the voice's own, or as configured.
    """

    speaker: str
    language: str | None = None


def voice_choice(
    voice_id: str, mapped: Mapping[str, VoiceChoice], *, default_speaker: str
) -> VoiceChoice:
    """Return who speaks for a voice id.

    What is mapped goes first, in any case; then the names of built-in voices; then the locale that
    the id begins with, which decides the language, while the name behind it decides whether a
    woman or a man speaks. Whatever else it is goes on as a voice's name, for the backend to judge.

    Args:
        voice_id: Such as "fr-FR-Denise", "en-GB-SoniaNeural" or "Ryan".
        mapped: Ids that were given a voice.
        default_speaker: Who speaks where an id says nothing of a woman or a man.

    Raises:
        UnsupportedLanguage: It begins with a locale that the model does not speak.
    """
    wanted = voice_id.strip()
    by_folded = {name.casefold(): choice for name, choice in mapped.items()}
    if (found := by_folded.get(wanted.casefold())) is not None:
        return found
    parts = _LOCALE.fullmatch(wanted)
    if parts is None or is_built_in(wanted):
        return VoiceChoice(wanted)
    language = language_named(parts["language"])
    gender = _gender(parts["rest"] or "")
    if not gender or gender_of(default_speaker) == gender:
        return VoiceChoice(default_speaker, language)
    return VoiceChoice(built_in_speaker(gender, language), language)


def _gender(rest: str) -> Gender:
    for word in re.split(r"[^a-z]+", rest.casefold()):
        if gender := _GENDERS.get(_SUFFIXES.sub("", word)):
            return gender
    return ""
