"""Scripts: lines of dialogue, their file names and their timing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from storycore_tts.domain.casting import Character
from storycore_tts.errors import TTSError

_PAUSE, _PAUSE_IN_SPEECH = Fraction(1, 2), Fraction(1, 4)  # s: before a new, the same speaker
_LONGEST_NAME = 32  # characters
_UUID = re.compile(r"([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


@dataclass(frozen=True)
class Line:
    """A line of a character.

    Args:
        number: 10, 20, 30, … in script order.
        id: Its id in the script's source; "" if it has none.
        character: The speaker.
        text: The text to speak.
        instruct: How to speak it, in words.
        emotion: The script's own note, for display.
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
        title: For display.
        lines: At least one.
    """

    id: str
    title: str
    lines: tuple[Line, ...]

    @property
    def folder_name(self) -> str:
        """Name of the folder for its files: the id, if it is a valid folder name."""
        plain = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.id)
        return self.id if plain else plain_name(self.id) or "SCENE"

    def file_name(self, line: Line) -> str:
        """Return the file name of a line without a suffix, such as S02_0010_MARIE."""
        found = _UUID.fullmatch(self.id.strip())
        scene = plain_name(found[1] if found else self.id) or "SCENE"
        return f"{scene}_{line.number:04d}_{plain_name(line.character.called) or 'CHARACTER'}"


@dataclass(frozen=True)
class Take:
    """A spoken line.

    Args:
        line: The line of the script.
        path: Its sound file.
        speaker: Name of the voice.
        samples: Number of samples.
        sample_rate: In Hz.
        backend: Name of the backend that generated it.
        warnings: Warnings about the result.
        is_new: Whether this run generated it; False if an earlier run did.
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
        """Exact duration in seconds."""
        return Fraction(self.samples, self.sample_rate)


@dataclass(frozen=True)
class NotSpoken:
    """A line that failed.

    Args:
        line: The line of the script.
        error: The reason.
    """

    line: Line
    error: TTSError


def plain_name(text: str) -> str:
    """Return the ASCII letters and digits of a text in upper case, joined by underscores."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", ascii_only).strip("_").upper()[:_LONGEST_NAME]


def placed(spoken: Iterable[tuple[str, Fraction]]) -> Iterator[tuple[Fraction, Fraction]]:
    """Yield the start and end of consecutive lines, in seconds, with pauses between them.

    Args:
        spoken: Speaker and duration in seconds of each line.
    """
    end, last = Fraction(0), ""
    for number, (who, duration) in enumerate(spoken):
        pause = _PAUSE_IN_SPEECH if who == last else _PAUSE
        start = end + pause if number else end
        end, last = start + duration, who
        yield start, end
