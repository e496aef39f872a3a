"""Speak a screenplay line by line into one wav, with a cue sheet beside it.

    python scratch_track.py draft.yaml track.wav
    python scratch_track.py comfyui.yaml track.wav

The settings alone decide who speaks.
"""

from __future__ import annotations

import asyncio
import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from storycore_tts import TTSError, open_tts
from storycore_tts.sound.samples import SAMPLE_RATE, SILENCE_PEAK, Samples

SCREENPLAY = Path(__file__).with_name("screenplay.txt")
LINE = re.compile(r"(?P<who>[A-Z]+)(?: \((?P<how>[^)]+)\))?: (?P<text>.+)")
AFTER_A_LINE = 0.4  # s
FOR_A_DIRECTION = 1.5  # s of silence


@dataclass(frozen=True)
class Line:
    """What one character says.

    Args:
        who: The character.
        voice: The speaker that plays it.
        how: How it is said, in words; "" for no particular way.
        text: The words.
        pause: Seconds of silence before it.
    """

    who: str
    voice: str
    how: str
    text: str
    pause: float


@dataclass(frozen=True)
class Cue:
    """Where a line is in the track, in seconds."""

    start: float
    end: float
    line: Line


def read(path: Path) -> Iterator[Line]:
    """Yield the lines of a screenplay: a cast, directions in brackets, and who says what."""
    cast: dict[str, str] = {}
    pause = 0.5
    for row in path.read_text(encoding="utf-8").splitlines():
        if row.startswith("Cast: "):
            pairs = (entry.split("=") for entry in row.removeprefix("Cast: ").split(","))
            cast = {who.strip(): voice.strip() for who, voice in pairs}
        elif row.startswith("["):
            pause += FOR_A_DIRECTION
        elif spoken := LINE.fullmatch(row):
            who = spoken["who"]
            yield Line(who, cast[who], spoken["how"] or "", spoken["text"], pause)
            pause = AFTER_A_LINE


def trimmed(samples: Samples) -> Samples:
    """Return the audible part, so that a cue begins and ends with the voice."""
    audible = np.flatnonzero(np.abs(samples) > SILENCE_PEAK)
    return samples[audible[0] : audible[-1] + 1]


async def record(settings: Path, lines: list[Line]) -> tuple[Samples, list[Cue]]:
    """Have each line spoken, one after the other; the whole track, and where each line is."""
    parts: list[Samples] = []
    cues: list[Cue] = []
    doubts: dict[str, None] = {}  # each is said once
    length = 0
    async with open_tts(settings) as tts:
        for number, line in enumerate(lines, start=1):
            speech = await tts.say(line.text, speaker=line.voice, instruct=line.how)
            assert speech.sample_rate == SAMPLE_RATE
            doubts.update(dict.fromkeys(speech.warnings))
            voice = trimmed(speech.samples)
            silence = np.zeros(int(line.pause * SAMPLE_RATE), np.float32)
            start = length + len(silence)
            length = start + len(voice)
            parts += [silence, voice]
            cues.append(Cue(start / SAMPLE_RATE, length / SAMPLE_RATE, line))
            print(f"{number}/{len(lines)} {line.who} ({speech.backend})", file=sys.stderr)
    for doubt in doubts:
        print(f"note: {doubt}", file=sys.stderr)
    return np.concatenate([*parts, np.zeros(SAMPLE_RATE, np.float32)]), cues


def write_cues(path: Path, cues: list[Cue]) -> None:
    """Write the cue sheet as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(["start", "end", "speaker", "voice", "text"])
        for cue in cues:
            line = cue.line
            sheet.writerow([f"{cue.start:.3f}", f"{cue.end:.3f}", line.who, line.voice, line.text])


def main(settings: str, track: str = "track.wav") -> int:
    """Make the track; the exit status."""
    try:
        samples, cues = asyncio.run(record(Path(settings), list(read(SCREENPLAY))))
    except TTSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    soundfile.write(track, samples, SAMPLE_RATE)
    write_cues(Path(track).with_suffix(".csv"), cues)
    print(track)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
