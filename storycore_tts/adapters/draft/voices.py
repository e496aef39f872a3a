"""Maps the nine voices of Qwen3-TTS to voices of espeak-ng, and detects languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from storycore_tts.adapters.draft.espeak import EspeakVoice
from storycore_tts.domain.languages import LANGUAGES


@dataclass(frozen=True)
class _Timbre:
    """A variant of espeak-ng, f… for women and m… for men, with pitch and range, 0..99."""

    variant: str
    pitch: int
    pitch_range: int


_TIMBRES = {
    "Vivian": _Timbre("f4", 56, 60),  # bright, slightly edgy
    "Serena": _Timbre("f1", 42, 38),  # warm, gentle
    "Uncle_fu": _Timbre("m8", 34, 40),  # seasoned, low, mellow
    "Dylan": _Timbre("m3", 60, 55),  # youthful
    "Eric": _Timbre("m7", 48, 75),  # lively, husky
    "Ryan": _Timbre("m2", 44, 70),  # dynamic, strong rhythm
    "Aiden": _Timbre("m1", 72, 62),  # sunny
    "Ono_anna": _Timbre("f5", 66, 78),  # playful
    "Sohee": _Timbre("f2", 46, 50),  # warm
}
SPEAKERS = tuple(_TIMBRES)

_VOICES = {
    "Chinese": "cmn",
    "English": "en-us",
    "Japanese": "ja",
    "Korean": "ko",
    "French": "fr",
    "German": "de",
    "Spanish": "es",
    "Portuguese": "pt-br",
    "Russian": "ru",
    "Italian": "it",
}

# In order of precedence: kana and Hangul each determine a language; Han without them is Chinese.
_SCRIPTS = {
    "Japanese": re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]"),
    "Korean": re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
    "Chinese": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"),
    "Russian": re.compile(r"[\u0400-\u04ff]"),
}
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
# Scripts that some voices spell or name ("Chinese letter") instead of reading: name of the script,
# its characters, and the languages whose voices can read it.
_LETTERS: tuple[tuple[str, re.Pattern[str], set[str]], ...] = (
    ("Chinese characters", _SCRIPTS["Chinese"], {"Chinese"}),
    ("kana", _SCRIPTS["Japanese"], {"Japanese"}),
    ("Cyrillic letters", _SCRIPTS["Russian"], {"Russian"}),
    ("Latin letters", _LATIN, set(_VOICES) - {"Japanese"}),
    ("Arabic letters", re.compile(r"[\u0620-\u064a\u066e-\u06d3\u0750-\u077f]"), set()),
    ("Hebrew letters", re.compile(r"[\u05d0-\u05ea]"), set()),
    ("Thai letters", re.compile(r"[\u0e01-\u0e3a]"), set()),
    ("Greek letters", re.compile(r"[\u0386-\u03ce]"), set(_VOICES) - {"English"}),
)
_SURE = 0.5  # minimum probability of py3langid; its wrong results for short lines are below


def voice_for(speaker: str, language: str, *, words_per_minute: int = 165) -> EspeakVoice:
    """Return the espeak-ng voice for one of the nine speakers.

    Args:
        speaker: One of ``SPEAKERS``.
        language: A language of the model, in its spelling.
        words_per_minute: Speed, 80..450.
    """
    timbre = _TIMBRES[speaker]
    return EspeakVoice(
        name=f"{_VOICES[language]}+{timbre.variant}",
        pitch=timbre.pitch,
        pitch_range=timbre.pitch_range,
        words_per_minute=words_per_minute,
    )


def language_of(text: str) -> str | None:
    """Detect the language of a text; None if it is unclear.

    Text in Latin letters is classified by py3langid, which blocks for about a second at the first
    call. Text without letters counts as English.
    """
    found = language_by_script(text)
    if found or not _LATIN.search(text):
        return found or "English"
    code, probability = _latin().classify(text)
    return {code: name for name, code in LANGUAGES.items()}[code] if probability >= _SURE else None


def language_by_script(text: str) -> str | None:
    """Return the language that the script of a text determines; None if it determines none.

    A single character decides: kana means Japanese, Hangul Korean, Han Chinese, and Cyrillic
    Russian, in this order. The majority does not matter, since the Chinese, Korean and Russian
    voices also read English, while the English voice only names foreign letters. Han alone always
    means Chinese, since the Japanese voice cannot read it.
    """
    return next((name for name, script in _SCRIPTS.items() if script.search(text)), None)


@cache
def _latin() -> Any:
    """Return a classifier for languages in Latin letters."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for name, code in LANGUAGES.items() if name not in _SCRIPTS])
    return identifier


def letters_not_read(text: str, language: str) -> tuple[str, ...]:
    """Return the scripts in a text that the voice of a language spells instead of reading.

    Args:
        text: The text to speak.
        language: A language of the model, in its spelling.
    """
    return tuple(
        letters
        for letters, script, readers in _LETTERS
        if language not in readers and script.search(text)
    )
