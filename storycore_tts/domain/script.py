"""A script: lines with a character, words and a manner; their names as files, their times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from storycore_tts.domain.casting import Character
from storycore_tts.domain.errors import TTSError

_PAUSE, _PAUSE_IN_SPEECH = Fraction(1, 2), Fraction(1, 4)  # s: before another speaker, the same one
_LONGEST_NAME = 32  # characters
_UUID = re.compile(r"([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


@dataclass(frozen=True)
class Line:
    """Something that a character says.

    Args:
        number: 10, 20, 30, … in the order of the script.
        id: What the script's source calls it; "" if it has no name there.
        character: Who says it.
        text: What is said.
        instruct: How, in words.
        emotion: What the script says of it, for people to read.
    """

    number: int
    id: str
    character: Character
    text: str
    instruct: str = ""
    emotion: str = ""


@dataclass(frozen=True)
class Script:
    """Lines in the order in which they are spoken.

    Args:
        id: Such as "S02", or a UUID.
        title: For people to read.
        lines: At least one.
    """

    id: str
    title: str
    lines: tuple[Line, ...]

    @property
    def folder_name(self) -> str:
        """Name of a folder for its files: the id, if that can be one."""
        plain = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.id)
        return self.id if plain else plain_name(self.id) or "SCENE"

    def file_name(self, line: Line) -> str:
        """Return the name of a line's file, without a suffix: S02_0010_MARIE."""
        found = _UUID.fullmatch(self.id.strip())
        scene = plain_name(found[1] if found else self.id) or "SCENE"
        return f"{scene}_{line.number:04d}_{plain_name(line.character.called) or 'CHARACTER'}"


@dataclass(frozen=True)
class Take:
    """A line that was spoken.

    Args:
        line: Of the script.
        path: Its file.
        speaker: The voice.
        samples: How many there are.
        sample_rate: In Hz.
        backend: Who spoke.
        warnings: What was done in spite of doubts.
        is_new: It was spoken now, and not by an earlier run.
    """

    line: Line
    path: Path
    speaker: str
    samples: int
    sample_rate: int
    backend: str
    warnings: tuple[str, ...]
    is_new: bool

    @property
    def duration(self) -> Fraction:
        """In seconds, exactly."""
        return Fraction(self.samples, self.sample_rate)


@dataclass(frozen=True)
class NotSpoken:
    """A line that failed.

    Args:
        line: Of the script.
        error: Why.
    """

    line: Line
    error: TTSError


def plain_name(text: str) -> str:
    """Return the ASCII letters and digits of a text, in capitals, with underscores between."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", ascii_only).strip("_").upper()[:_LONGEST_NAME]


def placed(spoken: Iterable[tuple[str, Fraction]]) -> Iterator[tuple[Fraction, Fraction]]:
    """Yield start and end of lines that follow each other, in seconds, with pauses between them.

    Args:
        spoken: For each line, who says it, and how long it is in seconds.
    """
    end, last = Fraction(0), ""
    for number, (who, duration) in enumerate(spoken):
        pause = _PAUSE_IN_SPEECH if who == last else _PAUSE
        start = end + pause if number else end
        end, last = start + duration, who
        yield start, end
