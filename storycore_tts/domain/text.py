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

_IDEOGRAPH = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
_SPEAKABLE = ("L", "N", "S")  # letters, digits, symbols (emoji are symbols)


def speakable(text: str, *, what: str = "text") -> str:
    """Return the text as it is sent to a voice: without control characters, stripped.

    Args:
        text: Any string.
        what: The field's name, for the error message.

    Raises:
        InvalidRequest: There is nothing in it that a voice could say, or it holds half a
            surrogate pair, which no encoding can carry.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"The {what} must be a string, not {type(text).__name__}.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(
            f"The {what} holds half a surrogate pair, which is no character.",
            hint="Decode it as UTF-8 with errors='replace' before you pass it on.",
        )
    clean = "".join(
        " " if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text
    ).strip()
    if not any(unicodedata.category(c).startswith(_SPEAKABLE) for c in clean):
        raise InvalidRequest(
            f"The {what} holds nothing that can be spoken: no letter, no digit, no symbol.",
            hint="Pass at least one word.",
        )
    return clean


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
