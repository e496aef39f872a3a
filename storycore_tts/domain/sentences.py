"""Splits text into sentences, for speech that is streamed sentence by sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from storycore_tts.domain.languages import LANGUAGES
from storycore_tts.domain.text import reading_seconds
from storycore_tts.errors import InvalidRequest

SENTENCE_PAUSE, PARAGRAPH_PAUSE = 0.4, 0.8  # s, as in read speech

_ORDINAL = re.compile(r"\b\d{1,2}\.$")  # "der 2." is not the end of a German sentence
_PARAGRAPH = re.compile(r"\n\s*\n\s*$")


@dataclass(frozen=True)
class Sentence:
    """A part of a text that can be spoken on its own.

    Args:
        text: The stripped text.
        pause: Silence before the next sentence, in seconds; 0 for the last.
    """

    text: str
    pause: float


def sentences(text: str, language: str = "Auto", *, shortest: float = 1.0) -> list[Sentence]:
    """Split a text into sentences; only whitespace between them is dropped.

    Abbreviations, numbers, ellipses and quotations are handled for each language of the model. A
    part that is too short to be spoken well on its own ("Yes.", or an abbreviation that was taken
    for the end of a sentence) is joined with the next one.

    Args:
        text: The text to speak.
        language: In the model's spelling; "Auto" handles the punctuation of all languages and
            English abbreviations.
        shortest: Minimum spoken duration of a part, in seconds.

    Raises:
        InvalidRequest: The package sentencex is not installed.
    """
    found: list[Sentence] = []
    for part in _parts(text, LANGUAGES.get(language, "en"), shortest):
        pause = PARAGRAPH_PAUSE if _PARAGRAPH.search(part) else SENTENCE_PAUSE
        found.append(Sentence(part.strip(), pause))
    return [*found[:-1], *(replace(last, pause=0.0) for last in found[-1:])]


def _parts(text: str, code: str, shortest: float) -> Iterator[str]:
    """Yield the parts with their trailing whitespace; joined, they equal the text."""
    ready = part = ""
    for piece in _segments(text, code):
        if ready and piece.isspace():
            ready += piece
            continue
        part += piece
        if _stands_alone(part.strip(), shortest):
            if ready:
                yield ready
            ready, part = part, ""
    if ready or part:
        yield ready + part


def _stands_alone(part: str, shortest: float) -> bool:
    return (
        any(map(str.isalnum, part))
        and reading_seconds(part) >= shortest
        and not _ORDINAL.search(part)
    )


def _segments(text: str, code: str) -> list[str]:
    try:
        import sentencex
    except ImportError:
        raise InvalidRequest(
            "Splitting text into sentences requires the package sentencex, which is not installed.",
            hint="Run: pip install 'storycore-tts[server]'",
        ) from None
    return list(sentencex.segment(code, text))
