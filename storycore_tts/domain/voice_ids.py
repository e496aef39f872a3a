"""Maps voice ids of other speech services, such as "fr-FR-Denise", to voices."""

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
"""The built-in voices of OpenAI's speech API, which many clients use by default."""

_LOCALE = re.compile(r"(?P<language>[a-z]{2,3})[-_](?P<region>[a-z]{2})(?:[-_](?P<rest>.+))?", re.I)

# First names of Microsoft's voices in the model's languages, since ids of this form come from
# there, and names that are common in scripts. Other names get the configured speaker.
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
# Ids that name a gender or the default voice only: "male", "qwen-female-1", "narrator".
_GENERIC = re.compile(
    r"(qwen[-_])?(?P<who>female|woman|male|man|narrator|neutral|default)([-_]\d+)?", re.I
)


@dataclass(frozen=True)
class VoiceChoice:
    """The voice chosen for a voice id.

    Args:
        speaker: Name of a voice of the backend or of a stored voice.
        language: In the model's spelling; None: the language of the voice, or the configured one.
    """

    speaker: str
    language: str | None = None


def mapped_voice(voice_id: str, mapped: Mapping[str, VoiceChoice]) -> VoiceChoice | None:
    """Return the voice that is mapped to an id, ignoring case; None if there is none.

    Args:
        voice_id: Such as "fr-FR-Denise" or "alloy".
        mapped: Voice id -> voice.
    """
    by_folded = {name.casefold(): choice for name, choice in mapped.items()}
    return by_folded.get(voice_id.strip().casefold())


def voice_choice(
    voice_id: str, mapped: Mapping[str, VoiceChoice], *, default_speaker: str
) -> VoiceChoice:
    """Return the voice for a voice id.

    Mappings come first, ignoring case; then the names of built-in voices; then ids that start with
    a locale, which determines the language, while the name after it determines the gender. "male",
    "female" and "narrator" are accepted, too. Anything else is passed on as the name of a voice,
    for the backend to check.

    Args:
        voice_id: Such as "fr-FR-Denise", "en-GB-SoniaNeural" or "Ryan".
        mapped: Voice id -> voice.
        default_speaker: Voice for ids that name no gender.

    Raises:
        UnsupportedLanguage: The id starts with a locale that the model does not support.
    """
    wanted = voice_id.strip()
    if (found := mapped_voice(wanted, mapped)) is not None:
        return found
    if is_built_in(wanted) or not is_voice_id(wanted):
        return VoiceChoice(wanted)
    generic, parts = _GENERIC.fullmatch(wanted), _LOCALE.fullmatch(_own_part(wanted))
    language = language_named(parts["language"]) if parts is not None and not generic else None
    gender = gender_named(generic["who"] if generic else (parts and parts["rest"]) or "")
    if not gender or gender_of(default_speaker) == gender:
        return VoiceChoice(default_speaker, language)
    return VoiceChoice(built_in_speaker(gender, language or ""), language)


def is_voice_id(name: str) -> bool:
    """Return whether a name has the form of a voice id: it starts with a locale, or is generic."""
    wanted = name.strip()
    return bool(_GENERIC.fullmatch(wanted) or _LOCALE.fullmatch(_own_part(wanted)))


def gender_named(name: str) -> Gender:
    """Return the gender of a first name or of a word such as "male"; "" if unknown."""
    for word in re.split(r"[^a-z]+", name.casefold()):
        if gender := _GENDERS.get(_SUFFIXES.sub("", word)):
            return gender
    return ""


def _own_part(voice_id: str) -> str:
    """Return "fr-fr" for "qwen-fr-fr", a form used by one of the engine's pages."""
    return re.sub(r"^qwen[-_]", "", voice_id, flags=re.I)
