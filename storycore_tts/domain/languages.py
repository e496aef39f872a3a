"""The languages of Qwen3-TTS and their accepted spellings."""

from __future__ import annotations

from storycore_tts.errors import UnsupportedLanguage, did_you_mean

AUTO = "Auto"

# Name in the model's spelling -> ISO 639-1. Source: the model card of Qwen3-TTS-12Hz.
LANGUAGES = {
    "Chinese": "zh",
    "English": "en",
    "Japanese": "ja",
    "Korean": "ko",
    "French": "fr",
    "German": "de",
    "Spanish": "es",
    "Portuguese": "pt",
    "Russian": "ru",
    "Italian": "it",
}

_BY_SPELLING = {
    AUTO.casefold(): AUTO,
    **{name.casefold(): name for name in LANGUAGES},
    **{code: name for name, code in LANGUAGES.items()},
}


def language_named(spelling: str) -> str:
    """Return the model's name of a language.

    Args:
        spelling: A name in any case ("french"), an ISO 639-1 code ("fr") or a locale ("fr-FR").

    Raises:
        UnsupportedLanguage: The model does not support the language.
    """
    if not isinstance(spelling, str):
        raise UnsupportedLanguage(f"A language must be a string, not {type(spelling).__name__}.")
    folded = spelling.strip().casefold()
    locale = folded.replace("_", "-").split("-", 1)[0]
    found = _BY_SPELLING.get(folded) or _BY_SPELLING.get(locale)
    if found is None:
        names = [AUTO, *LANGUAGES]
        raise UnsupportedLanguage(
            f"Qwen3-TTS does not support the language {spelling!r}.{did_you_mean(spelling, names)}",
            hint=f"Use one of: {', '.join(names)}.",
        )
    return found
