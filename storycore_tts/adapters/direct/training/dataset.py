"""Finds and validates training recordings, and reports all problems at once.

Two formats are supported:

- A folder of audio files, each with its transcript in a .txt file of the same name; subfolders are
  ignored. The reference, from which the speaker embedding is computed, is the first recording by
  name, as with the ComfyUI node.
- A .jsonl file; each line has ``audio``, ``text`` and optionally ``ref_audio``. Paths are relative
  to the file. The reference is the first ``ref_audio``, or else the first recording.

Problems that would spoil the training, or silently drop a recording, are errors: audio that is
unreadable, silent, too short or too long; transcripts that are missing, empty or unspeakable;
duplicate audio. Problems that may be intended are warnings: a transcript without a recording, a
telephone's sample rate, an unnatural pace, several references, a single recording, recordings in
subfolders, and audio that is clipped, noisy, has a DC offset or silence at its ends.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from storycore_tts.adapters.direct.training.dataset_entries import (
    Entry,
    Report,
    entries_of,
    recordings_below,
)
from storycore_tts.adapters.direct.training.sound import doubts
from storycore_tts.domain.text import reading_seconds, speakable
from storycore_tts.errors import InvalidDataset, InvalidRequest
from storycore_tts.sound.decoders import UndecodableAudio
from storycore_tts.sound.files import decode
from storycore_tts.sound.samples import Samples, is_silent

SHORTEST = 0.5  # s; at 12.5 frames per second, there are too few frames to learn from
LONGEST = 30.0  # s; memory grows with the longest recording, and long ones are usually badly cut
_LOWEST_RATE = 16_000  # Hz; below it consonants are lost, and the voice sounds like a telephone
_PACE = (0.25, 2.5)  # reading time / duration; outside it the transcript is probably wrong


@dataclass(frozen=True)
class Recording:
    """One valid recording.

    Args:
        audio: The audio file.
        text: The transcript.
        duration: Duration in seconds.
        sample_rate: Sample rate of the file in Hz.
        digest: SHA-256 of the decoded samples, in hexadecimal.
    """

    audio: Path
    text: str
    duration: float
    sample_rate: int
    digest: str


@dataclass(frozen=True)
class Dataset:
    """A validated dataset.

    Args:
        source: The folder or the .jsonl file.
        recordings: The recordings, at least one, in the order of the source.
        reference: The clip that the speaker embedding is computed from.
        digest: SHA-256 of audio and transcripts, independent of paths; in hexadecimal.
        warnings: Possible problems, as messages for users.
    """

    source: Path
    recordings: tuple[Recording, ...]
    reference: Path
    digest: str
    warnings: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Total duration of the recordings in seconds."""
        return sum(recording.duration for recording in self.recordings)


def check_dataset(folder_or_jsonl: Path) -> Dataset:
    """Read and validate every recording. Blocks while it decodes them all.

    Args:
        folder_or_jsonl: A folder of audio and .txt files, or a .jsonl file.

    Raises:
        InvalidDataset: There are no recordings, or at least one error; the message lists all
            errors by file.
    """
    source = folder_or_jsonl
    report = Report(source)
    entries, recordings = [], []
    try:
        for entry in entries_of(source, report):
            entries.append(entry)
            if found := _checked(entry, report):
                recordings.append(found)
    except OSError as error:  # of the source; errors of its files are in the report
        raise InvalidDataset(
            f"Cannot open the dataset {source}: {error.strerror}.",
            hint="Give a folder of recordings with a .txt beside each, or a .jsonl file.",
        ) from error
    reference = _reference(entries, report)
    below = recordings_below(source)
    if not entries and not report.errors:
        where = f" but {below}: name one of these" if below else ""
        report.error(source.name, f"contains no recordings{where}")
    elif below:
        report.warning(source.name, f"{below}, ignored")
    if len(entries) == 1:
        report.warning(entries[0].name, "only one recording: a voice needs several minutes")
    report.raise_errors()
    assert reference is not None  # at least the first recording
    learned = [(recording.digest, recording.text) for recording in recordings]
    digest = hashlib.sha256(json.dumps([learned, _digest(*load(reference))]).encode()).hexdigest()
    return Dataset(source, tuple(recordings), reference, digest, tuple(report.warnings))


def load(audio: Path) -> tuple[Samples, int]:
    """Decode a recording to mono samples, float32 of shape (n,), and their rate in Hz.

    Raises:
        InvalidDataset: The file was deleted or changed after it was validated.
    """
    try:
        return decode(audio.read_bytes())
    except (OSError, UndecodableAudio) as error:
        raise InvalidDataset(
            f"{audio} could be read when the dataset was checked, and no longer: {error}.",
            hint="Leave the dataset alone while a voice is being trained on it.",
        ) from error


def _checked(entry: Entry, report: Report) -> Recording | None:
    """Return the recording if it is valid; add its problems to the report."""
    text = _checked_text(entry, report) if entry.text is not None else None
    sound = _checked_sound(entry.name, entry.audio, report)
    if sound is None:
        return None
    samples, sample_rate = sound
    digest = _digest(samples, sample_rate)
    if not report.is_new(digest, entry.name) or text is None:
        return None
    for doubt in doubts(samples, sample_rate):
        report.warning(entry.name, doubt)
    duration = len(samples) / sample_rate
    if sample_rate < _LOWEST_RATE:
        report.warning(entry.name, f"{sample_rate} Hz gives the voice telephone quality")
    spoken = reading_seconds(text)
    if not _PACE[0] <= spoken / duration <= _PACE[1]:
        report.warning(
            entry.name,
            f"its words take about {spoken:.1f} s to say and it is {duration:.1f} s long: are they "
            "the words of this recording?",
        )
    return Recording(entry.audio, text, duration, sample_rate, digest)


def _digest(samples: Samples, sample_rate: int) -> str:
    return hashlib.sha256(samples.tobytes() + str(sample_rate).encode()).hexdigest()


def _checked_text(entry: Entry, report: Report) -> str | None:
    assert entry.text is not None
    if not entry.text.strip():
        report.error(entry.name, "its transcript is empty")
        return None
    try:
        return speakable(entry.text, what="transcript")
    except InvalidRequest as error:
        report.error(entry.name, error.message)
        return None


def _checked_sound(name: str, audio: Path, report: Report) -> tuple[Samples, int] | None:
    """Decode and validate a recording or a reference; None if it has an error."""
    try:
        samples, sample_rate = decode(audio.read_bytes())
    except OSError as error:
        report.error(name, f"cannot be opened: {error.strerror}")
        return None
    except ValueError:  # a NUL in the path
        report.error(name, "is not a valid path")
        return None
    except UndecodableAudio as error:
        report.error(name, f"cannot be read as audio: {error}")
        return None
    duration = len(samples) / sample_rate
    if duration < SHORTEST:
        report.error(name, f"is {duration:.2f} s long; the minimum is {SHORTEST:g} s")
    elif duration > LONGEST:
        report.error(name, f"is {duration:.1f} s long; the maximum is {LONGEST:g} s, so cut it")
    elif is_silent(samples):
        report.error(name, "is silent: no sample rises above −50 dBFS")
    else:
        return samples, sample_rate
    return None


def _reference(entries: list[Entry], report: Report) -> Path | None:
    """Return the clip that the speaker embedding is computed from."""
    named = list(dict.fromkeys(entry.reference for entry in entries if entry.reference))
    if not named:
        return entries[0].audio if entries else None
    if len(named) > 1:
        report.warning(
            "ref_audio", f"{len(named)} different ones; a voice has one, and {named[0]} is taken"
        )
    if named[0] not in {entry.audio for entry in entries}:
        name = f"ref_audio {named[0]}"
        for doubt in doubts(*sound) if (sound := _checked_sound(name, named[0], report)) else ():
            report.warning(name, doubt)
    return named[0]
