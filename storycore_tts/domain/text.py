"""What can be spoken, how long it takes to say, and how many tokens that may cost."""

from __future__ import annotations

import re
import unicodedata
from os import PathLike, fspath

from storycore_tts.domain.errors import InvalidRequest

TOKENS_PER_SECOND = 12.5  # Qwen3-TTS-Tokenizer-12Hz: one talker token is one codec frame, 80 ms
_MIN_TOKENS = 512  # what the ComfyUI nodes accept at least: 41 s, ample for any one line
_TOKEN_STEP = 256  # the nodes' step

# Characters a second at an ordinary reading pace; one ideograph or kana is a syllable.
_LETTERS_PER_SECOND = 15.0
_IDEOGRAPHS_PER_SECOND = 4.5
_FASTEST = 2.0  # times the ordinary pace; nobody reads faster, so longer text cannot fit
_SLOWEST = 4.0  # times the ordinary duration: slow, dramatic reading with long pauses

# What reading_seconds, which a limit is made of, leaves out: "1939" takes as long as a sentence of
# 15 letters, and a kana is shorter than an ideograph.
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
# A joiner after anything but a letter of the scripts that spell with it: Arabic and its kin, the
# scripts of India and of South-East Asia, Mongolian.
_NEEDLESS_JOINER = re.compile(
    "(?<![\u0600-\u0dff\u1000-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc])[\u200c\u200d]"
)
_SPEAKABLE = ("L", "N")  # letters and digits


def speakable(text: str, *, what: str = "text") -> str:
    """Return the text as it is sent to a voice: composed (NFC), stripped, all of it visible.

    Control characters become spaces. Invisible characters are taken out, but for the joiners that
    Persian or Hindi, for instance, spell with.

    Args:
        text: Any string.
        what: The field's name, for the error message.

    Raises:
        InvalidRequest: No letter and no digit is in it, or it holds half a surrogate pair, which
            no encoding can carry.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"The {what} must be a string, not {type(text).__name__}.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(
            f"The {what} holds half a surrogate pair, which is no character.",
            hint="Decode it as UTF-8 with errors='replace' before you pass it on.",
        )
    visible = _NEEDLESS_JOINER.sub("", _INVISIBLE.sub("", text))
    spaced = "".join(map(_spaced, visible))
    clean = unicodedata.normalize("NFC", spaced).strip()
    if not any(unicodedata.category(c).startswith(_SPEAKABLE) for c in clean):
        raise InvalidRequest(
            f"The {what} holds nothing that can be spoken: no letter and no digit.",
            hint="Pass at least one word.",
        )
    return clean


def _spaced(character: str) -> str:
    """Return a space for a control character, and a newline for Unicode's two kinds of it."""
    category = unicodedata.category(character)
    if category in ("Zl", "Zp"):
        return "\n"
    return " " if category == "Cc" and character not in "\n\t" else character


def one_line(name: str, value: str | PathLike[str]) -> str:
    """Return a name or a path, stripped, if it could be one.

    Args:
        name: The field's name, for the error message.
        value: Any string, or a path.

    Raises:
        InvalidRequest: Not a string, empty, or with a control character or half a surrogate pair.
    """
    value = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string, not {type(value).__name__}.")
    clean = value.strip()
    if not clean:
        raise InvalidRequest(f"{name} is empty.")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in clean):
        raise InvalidRequest(f"{name} holds a control character or half a surrogate: {clean!r}.")
    return clean


def reading_seconds(text: str) -> float:
    """Estimate how long the text takes to say at an ordinary pace, in seconds."""
    ideographs = len(_IDEOGRAPH.findall(text))
    return ideographs / _IDEOGRAPHS_PER_SECOND + (len(text) - ideographs) / _LETTERS_PER_SECOND


def saying_seconds(transcript: str) -> float:
    """Estimate how long a transcript takes to say at an ordinary pace, in seconds."""
    digits = sum(map(str.isdecimal, transcript))
    kana = sum("\u3040" <= letter <= "\u30ff" for letter in transcript)
    return reading_seconds(transcript) + digits * _SECONDS_A_DIGIT + kana * _SECONDS_A_KANA


def token_budget(text: str, *, limit: int) -> int:
    """Return how many talker tokens this text may cost: scaled to its length, at most ``limit``.

    A generation that misses its end token runs on to the budget; scaling it to the text makes
    such a runaway short and certain to be noticed.

    Args:
        text: What is to be said.
        limit: The most that the caller allows, in tokens (12.5 of them are one second).

    Raises:
        InvalidRequest: Even the fastest reader could not say the text within ``limit``.
    """
    seconds = reading_seconds(text)
    if seconds / _FASTEST * TOKENS_PER_SECOND > limit:
        raise InvalidRequest(
            f"The text is too long for one generation: {len(text)} characters take about "
            f"{seconds:.0f} s to say, and max_new_tokens={limit} ends after "
            f"{limit / TOKENS_PER_SECOND:.0f} s.",
            hint="Split it at sentences, or raise max_new_tokens.",
        )
    wanted = max(_MIN_TOKENS, seconds * _SLOWEST * TOKENS_PER_SECOND)
    return min(limit, -(-int(wanted) // _TOKEN_STEP) * _TOKEN_STEP)
