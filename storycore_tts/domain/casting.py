"""Assigns voices to characters: from the cast, or by choosing the best match."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from storycore_tts.domain.stored_voices import name_key
from storycore_tts.domain.voice_ids import gender_named
from storycore_tts.domain.voices import Gender, Speaker, gender_of


@dataclass(frozen=True)
class Character:
    """A character in a story, with what is known about their voice.

    Args:
        id: The engine's id: "char_001", a UUID, or the name.
        name: Display name; "" if only the id is known.
        gender: "female", "male", or "" when unknown.
        age: A number, or a word such as "child" or "elderly".
        description: Free text about the voice, such as "deep and commanding".
        accent: Free text, such as "Beijing" or "American".
        language: Language they speak, in the model's spelling; None: the configured one.
    """

    id: str
    name: str = ""
    gender: Gender = ""
    age: str = ""
    description: str = ""
    accent: str = ""
    language: str | None = None

    @property
    def called(self) -> str:
        """The name, or the id if there is no name."""
        return self.name or self.id


@dataclass(frozen=True)
class CastVoice:
    """The voice of a character.

    Args:
        voice: A built-in or stored voice; with ``checkpoint``, the name that it was trained
            under.
        checkpoint: Folder of a fine-tuned model, as the backend sees it.
        language: In the model's spelling; None: the language of the voice, or the configured one.
        instruct: How the character speaks, in words or by the name of a style.
    """

    voice: str
    checkpoint: str | None = None
    language: str | None = None
    instruct: str = ""


@dataclass(frozen=True)
class Role:
    """An entry of a cast.

    Args:
        name: The character's name or id.
        voice: The voice that speaks for the character.
        aliases: Other names and ids of the same character.
    """

    name: str
    voice: CastVoice
    aliases: tuple[str, ...] = ()


class Cast:
    """Characters and their voices; names ignore case and treat spaces as underscores.

    Args:
        roles: In the order of the file.
    """

    def __init__(self, roles: Iterable[Role] = ()) -> None:
        self.roles = tuple(roles)
        self._by_alias = {name_key(a): role for role in self.roles for a in role.aliases}
        self._by_name = {name_key(role.name): role for role in self.roles}

    def find(self, name: str) -> Role | None:
        """Return the role with that name or alias, or None."""
        key = name_key(name)
        return self._by_name.get(key) or self._by_alias.get(key)

    def with_role(self, role: Role) -> Cast:
        """Return a copy of this cast with a role added or replaced."""
        roles = {name_key(one.name): one for one in self.roles}
        return Cast((roles | {name_key(role.name): role}).values())


# Words in the model card's descriptions of voices -> words that users write for the same quality.
_TRAITS: Mapping[str, str] = {
    "low": "deep low bass baritone booming commanding authoritative grave menacing",
    "seasoned": "old older elderly aged senior wise mature veteran weathered grandfather",
    "mellow": "mellow smooth calm relaxed soothing wise",
    "young": "young youthful child kid boy girl teen teenager",
    "youthful": "young youthful child kid boy teen teenager",
    "playful": "playful child kid girl cute mischievous witty funny",
    "bright": "bright clear high energetic crisp",
    "edgy": "edgy sharp cold cynical sarcastic fierce",
    "warm": "warm kind friendly caring tender motherly wise",
    "gentle": "gentle soft quiet shy calm delicate",
    "lively": "lively energetic excited animated bubbly",
    "husky": "husky hoarse raspy rough gravelly gruff tired",
    "dynamic": "dynamic strong confident heroic bold energetic determined",
    "sunny": "sunny cheerful happy optimistic friendly",
}
_HEARD_AS: Mapping[str, frozenset[str]] = {
    trait: frozenset(words.split()) for trait, words in _TRAITS.items()
}
_SAY_NOTHING = frozenset(("a", "with", "from", "and", "man", "woman", "slightly"))
_WORDS = re.compile(r"[^\W\d_]+")
_SHE = frozenset(("she", "her", "hers", "woman", "girl", "lady", "queen", "elle", "femme", "fille"))
_HE = frozenset(("he", "his", "him", "man", "boy", "gentleman", "king", "homme", "garçon"))
_CHILD, _YOUNG, _OLD = 13, 30, 55  # years


def fitting(
    character: Character,
    speakers: Sequence[Speaker],
    *,
    used: Mapping[str, int] | None = None,
    near: Collection[str] = (),
) -> Speaker:
    """Return the voice that fits a character best; deterministic for the same arguments.

    Voices of the same gender come first; others are used only if there are none. Among these,
    unused voices come before shared ones. Remaining ties are decided by how well a voice matches
    age, manner, accent and language.

    Args:
        character: The character who needs a voice.
        speakers: The voices that the backend offers; at least one.
        used: Name of a voice -> number of characters in the project that have it.
        near: Voices of the other characters in the same scene; avoided if possible.
    """
    of_others = {name_key(name): count for name, count in (used or {}).items()}
    beside = {name_key(name) for name in near}
    gender = character.gender or gender_of_character(character.description, character.called)
    right = [one for one in speakers if gender and gender_of(one.name) == gender]

    def rank(speaker: Speaker) -> tuple[bool, int, int, str]:
        key = name_key(speaker.name)
        spread = sha256(f"{name_key(character.id)}\0{key}".encode("utf-8", "surrogatepass"))
        return key in beside, of_others.get(key, 0), -_fit(character, speaker), spread.hexdigest()

    return min(right or speakers, key=rank)


def gender_of_character(prose: str, name: str = "") -> Gender:
    """Guess the gender from pronouns in a description, then from a first name; "" if unknown.

    Args:
        prose: Free text about the character.
        name: Name of the character.
    """
    words = list(_words(prose))
    she, he = (sum(word in known for word in words) for known in (_SHE, _HE))
    if she != he:
        return "female" if she > he else "male"
    return gender_named(" ".join(word for word in _words(name) if len(word) > 1))


def _fit(character: Character, speaker: Speaker) -> int:
    """Return a score for how well a voice fits; matching traits count double."""
    said = {*_words(f"{character.description} {character.accent}"), *_words_for(character.age)}
    traits = set(_words(speaker.description)) - _SAY_NOTHING
    matched = sum(bool(said & _HEARD_AS.get(trait, frozenset((trait,)))) for trait in traits)
    foreign = {*_words(speaker.language)}
    native = bool(foreign & said) or (
        character.language is not None and character.language == speaker.language
    )
    return 2 * matched + native


def _words(prose: str) -> Iterator[str]:
    return (found[0].casefold() for found in _WORDS.finditer(prose))


def _words_for(age: str) -> Iterable[str]:
    number = re.search(r"\d{1,3}", age)
    if number is None:
        return _words(age)
    years = int(number[0])
    if years >= _OLD:
        return ("elderly",)
    return ("child",) if years < _CHILD else ("young",) if years < _YOUNG else ()
