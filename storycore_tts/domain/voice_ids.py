"""Voice ids of other speech services, such as "fr-FR-Denise", and who speaks for them here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from storycore_tts.domain.languages import language_named
from storycore_tts.domain.voices import Gender, built_in_speaker, gender_of, is_built_in

OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
    *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
"""The built-in voices of OpenAI's speech API, which many clients ship as their default."""

_LOCALE = re.compile(r"(?P<language>[a-z]{2,3})[-_](?P<region>[a-z]{2})(?:[-_](?P<rest>.+))?", re.I)

# First names of the voices that Microsoft's services offer in the model's languages, since ids of
# this form come from there, and such as scripts are full of. Whoever is missing is spoken by the
# configured speaker.
_WOMEN = """
    alice amala amber amelia ana anna aria ashley aurora brigitte camille celeste charlotte
    claire clara cora coralie dalia denise diana eleanor elena elizabeth eloise elsa elvira
    emily emma eva fabiola francisca grace helen hollie ines irene isabella jacqueline jane
    jenny josephine julia julie kate katja keiko laura lea lena libby lily lisa louise lucie
    lucy luna maisie manon maria marie marta mary mayu mia michelle molly monica nanami nancy
    natasha nina nora olivia rachel raquel rose ruth sara sarah seraphina sofia sonia sophia
    sophie sunhi svetlana victoria vivienne xiaochen xiaohan xiaomo xiaorui xiaoshuang xiaoxiao
    xiaoyi ximena yvette zira zoe
"""
_MEN = """
    adam alain alvaro andrew antonio arthur benjamin brandon brian carlos charles christopher
    claude conrad daichi daniel david davis diego dmitry duarte edward emile ethan felix florian
    frank gabriel george giuseppe guy hans henri hugo hyunsu injoon ivan jack jacob jacques
    james jason jerome john jorge jose joseph juan julien karl keita killian leo leon louis
    lucas luis marc mark martin matthew maurice max michael michel nathan nicolas noah oliver
    oscar otto paul pedro peter philippe pierre raphael remy robert roger ryan samuel simon
    stefan steffan theo thierry thomas tony victor walter william yunfeng yunhao yunjian yunxi
    yunxia yunyang yves
"""
_GENDERS: Mapping[str, Gender] = {
    **dict.fromkeys(_WOMEN.split(), "female"),
    **dict.fromkeys(_MEN.split(), "male"),
    **dict.fromkeys(("female", "woman", "girl", "f"), "female"),
    **dict.fromkeys(("male", "man", "boy", "m"), "male"),
}
_SUFFIXES = re.compile(r"(multilingual|neural|standard|wavenet|online)+$")
# What says no more than a woman, a man, or whoever usually speaks: "male", "qwen-female-1".
_ANYBODY = re.compile(
    r"(qwen[-_])?(?P<who>female|woman|male|man|narrator|neutral|default)([-_]\d+)?", re.I
)


@dataclass(frozen=True)
class VoiceChoice:
    """Who speaks for a voice id.

    Args:
        speaker: Name of a voice; the backend, or the library of stored ones, knows it.
        language: In the model's spelling; None: the voice's own, or as configured.
    """

    speaker: str
    language: str | None = None


def mapped_voice(voice_id: str, mapped: Mapping[str, VoiceChoice]) -> VoiceChoice | None:
    """Return who speaks for an id that was given a voice, in any case; None if none was.

    Args:
        voice_id: Such as "fr-FR-Denise" or "alloy".
        mapped: Ids that were given a voice.
    """
    by_folded = {name.casefold(): choice for name, choice in mapped.items()}
    return by_folded.get(voice_id.strip().casefold())


def voice_choice(
    voice_id: str, mapped: Mapping[str, VoiceChoice], *, default_speaker: str
) -> VoiceChoice:
    """Return who speaks for a voice id.

    What is mapped goes first, in any case; then the names of built-in voices; then the locale that
    the id begins with, which decides the language, while the name behind it decides whether a
    woman or a man speaks. "male", "female" and "narrator" are voices too. Whatever else it is goes
    on as a voice's name, for the backend to judge.

    Args:
        voice_id: Such as "fr-FR-Denise", "en-GB-SoniaNeural" or "Ryan".
        mapped: Ids that were given a voice.
        default_speaker: Who speaks where an id says nothing of a woman or a man.

    Raises:
        UnsupportedLanguage: It begins with a locale that the model does not speak.
    """
    wanted = voice_id.strip()
    if (found := mapped_voice(wanted, mapped)) is not None:
        return found
    if is_built_in(wanted) or not is_voice_id(wanted):
        return VoiceChoice(wanted)
    anybody, parts = _ANYBODY.fullmatch(wanted), _LOCALE.fullmatch(_own_part(wanted))
    language = language_named(parts["language"]) if parts is not None and not anybody else None
    gender = gender_named(anybody["who"] if anybody else (parts and parts["rest"]) or "")
    if not gender or gender_of(default_speaker) == gender:
        return VoiceChoice(default_speaker, language)
    return VoiceChoice(built_in_speaker(gender, language or ""), language)


def is_voice_id(name: str) -> bool:
    """Tell whether this has the form of a voice's id: it begins with a locale, or is "male"."""
    wanted = name.strip()
    return bool(_ANYBODY.fullmatch(wanted) or _LOCALE.fullmatch(_own_part(wanted)))


def gender_named(name: str) -> Gender:
    """Tell whether a first name, or a word such as "male", is a woman's or a man's, or ""."""
    for word in re.split(r"[^a-z]+", name.casefold()):
        if gender := _GENDERS.get(_SUFFIXES.sub("", word)):
            return gender
    return ""


def _own_part(voice_id: str) -> str:
    """Return "fr-fr" of "qwen-fr-fr", as one of the engine's pages writes it."""
    return re.sub(r"^qwen[-_]", "", voice_id, flags=re.I)
