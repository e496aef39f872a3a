"""Cleans text for speech, and estimates its duration and token budget."""

from __future__ import annotations

import re
import unicodedata
from os import PathLike, fspath

from storycore_tts.errors import InvalidRequest

TOKENS_PER_SECOND = 12.5  # Qwen3-TTS-Tokenizer-12Hz: one talker token is one codec frame, 80 ms
_MIN_TOKENS = 512  # minimum of the ComfyUI nodes: 41 s, ample for a single line
_TOKEN_STEP = 256  # the nodes' step

# Characters per second at an ordinary reading pace; an ideograph or kana is one syllable.
_LETTERS_PER_SECOND = 15.0
_IDEOGRAPHS_PER_SECOND = 4.5
_FASTEST = 2.0  # times the ordinary pace: the upper limit of human speech
_SLOWEST = 4.0  # times the ordinary duration: slow, dramatic reading with long pauses

# Refinements that reading_seconds, on which limits are based, ignores: "1939" takes as long as 15
# letters, and a kana is shorter than an ideograph.
_SECONDS_A_DIGIT, _SECONDS_A_KANA = 0.25, -0.09

_IDEOGRAPH = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
# Unicode's default-ignorable characters (soft hyphens, zero-width spaces, marks of direction,
# variation selectors, fillers), braille's blank and the marks of annotations.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Zero-width joiners and non-joiners, except after letters of scripts that need them: Arabic and
# related scripts, those of India and South-East Asia, Mongolian.
_NEEDLESS_JOINER = re.compile(
    "(?<![\u0600-\u0dff\u1000-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc])[\u200c\u200d]"
)
_SPEAKABLE = ("L", "N")  # letters and digits


def speakable(text: str, *, what: str = "text") -> str:
    """Return the text as it is sent to a backend: normalized (NFC), stripped, visible only.

    Control characters become spaces. Invisible characters are removed, except for joiners that
    scripts such as Persian or Hindi need.

    Args:
        text: Any string.
        what: Name of the field, for error messages.

    Raises:
        InvalidRequest: The text contains neither a letter nor a digit, or it contains a lone
            surrogate, which cannot be encoded.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"The {what} must be a string, not {type(text).__name__}.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(
            f"The {what} contains a lone surrogate, which is not a valid character.",
            hint="Decode the text as UTF-8 with errors='replace'.",
        )
    visible = _NEEDLESS_JOINER.sub("", _INVISIBLE.sub("", text))
    spaced = "".join(map(_spaced, visible))
    clean = unicodedata.normalize("NFC", spaced).strip()
    if not any(unicodedata.category(c).startswith(_SPEAKABLE) for c in clean):
        raise InvalidRequest(
            f"The {what} contains nothing to speak: no letters and no digits.",
            hint="Pass at least one word.",
        )
    return clean


def _spaced(character: str) -> str:
    """Return a space for a control character, and a newline for Unicode's line separators."""
    category = unicodedata.category(character)
    if category in ("Zl", "Zp"):
        return "\n"
    return " " if category == "Cc" and character not in "\n\t" else character


def one_line(name: str, value: str | PathLike[str]) -> str:
    """Return a name or a path, stripped and checked.

    Args:
        name: Name of the field, for error messages.
        value: A string or a path.

    Raises:
        InvalidRequest: The value is not a string, is empty, or contains a control character or a
            lone surrogate.
    """
    value = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string, not {type(value).__name__}.")
    clean = value.strip()
    if not clean:
        raise InvalidRequest(f"{name} is empty.")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in clean):
        raise InvalidRequest(f"{name} contains a control character or a lone surrogate: {clean!r}.")
    return clean


def reading_seconds(text: str) -> float:
    """Estimate the spoken duration of a text at an ordinary pace, in seconds."""
    ideographs = len(_IDEOGRAPH.findall(text))
    return ideographs / _IDEOGRAPHS_PER_SECOND + (len(text) - ideographs) / _LETTERS_PER_SECOND


def saying_seconds(transcript: str) -> float:
    """Estimate the spoken duration of a transcript at an ordinary pace, in seconds."""
    digits = sum(map(str.isdecimal, transcript))
    kana = sum("\u3040" <= letter <= "\u30ff" for letter in transcript)
    return reading_seconds(transcript) + digits * _SECONDS_A_DIGIT + kana * _SECONDS_A_KANA


def token_budget(text: str, *, limit: int) -> int:
    """Return the token budget of a text, in proportion to its length and at most ``limit``.

    A generation without an end token continues up to the budget. A budget in proportion to the
    text keeps such runaways short and easy to detect.

    Args:
        text: The text to speak.
        limit: The caller's maximum, in tokens (12.5 tokens are one second of audio).

    Raises:
        InvalidRequest: The text does not fit into ``limit`` even if it is read very fast.
    """
    seconds = reading_seconds(text)
    if seconds / _FASTEST * TOKENS_PER_SECOND > limit:
        raise InvalidRequest(
            f"The text is too long for one generation: speaking {len(text)} characters takes about "
            f"{seconds:.0f} s, but max_new_tokens={limit} allows only "
            f"{limit / TOKENS_PER_SECOND:.0f} s.",
            hint="Split the text into sentences, or raise max_new_tokens.",
        )
    wanted = max(_MIN_TOKENS, seconds * _SLOWEST * TOKENS_PER_SECOND)
    return min(limit, -(-int(wanted) // _TOKEN_STEP) * _TOKEN_STEP)
