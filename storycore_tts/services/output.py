"""Renders speech and writes it to local files."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.speech import Speech, write_whole
from storycore_tts.errors import InvalidRequest, StorageFailed
from storycore_tts.services.files import exists
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.sound.ffmpeg import pyav
from storycore_tts.sound.files import check_suffix
from storycore_tts.sound.pace import resampled, semitones

if TYPE_CHECKING:  # not imported at run time, for a fast start of the command line
    from storycore_tts.services.voicing import VoicedRequest

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROBE = bytes(4096)  # written to check that the disk is not full


@dataclass(frozen=True)
class VoiceResult:
    """Speech in a file.

    Args:
        audio_path: Path of the file.
        speech: The speech, as samples with metadata.
        text: The spoken text.
        speaker: Name of the voice chosen for the line; "" if none was chosen.
        notes: Notes on that choice.
    """

    audio_path: Path
    speech: Speech
    text: str = ""
    speaker: str = ""
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.speech.duration

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return self.speech.sample_rate

    @property
    def seed(self) -> int | None:
        """The seed used, requested or random."""
        return self.speech.seed

    @property
    def x_vector_only(self) -> bool:
        """Whether a clone was made from the speaker embedding alone."""
        return self.speech.x_vector_only

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the result, for display."""
        return (*self.notes, *self.speech.warnings)


def rendering(
    output_path: str | os.PathLike[str] | None = None, *, speed: float = 1.0, pitch: float = 1.0
) -> Rendering:
    """Return the rendering of a line, after a check that it is possible.

    Args:
        output_path: Path whose suffix determines the format; None: wav.
        speed: 0.25..4; 2 is twice as fast.
        pitch: 0.5..2; 2 is an octave up.

    Raises:
        InvalidRequest: A value is out of range, the suffix is unknown, or an extra is missing.
    """
    suffix = ".wav" if output_path is None else check_suffix(Path(output_path))
    found = Rendering(suffix.removeprefix("."), speed, semitones(pitch))
    if found.changes_samples:
        pyav("Changing speed or pitch")
    return found


class AudioFolder:
    """Reserves file names before a generation, and writes the speech afterwards.

    Args:
        folder: Folder for files without a given name; None: a new temporary folder, created when
            it is first needed.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)

    def reserve(
        self, wanted: str | os.PathLike[str] | None, *, stem: str, suffix: str = ".wav"
    ) -> Path:
        """Return the absolute path to write to, after a check that it can be written.

        Args:
            wanted: A path, or None for a new name in the folder.
            stem: Prefix of a new name.
            suffix: Suffix of a new name.

        Raises:
            InvalidRequest: The suffix is not supported, or the path cannot be written to.
            StorageFailed: The disk is full.
        """
        target = Path(wanted) if wanted is not None else self._new_name(stem, suffix)
        check_suffix(target)
        target = target.absolute()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            writable = os.access(target if exists(target) else target.parent, os.W_OK)
        except (OSError, ValueError) as error:  # ValueError: a NUL or a surrogate in the path
            raise InvalidRequest(f"Cannot write to {target}: {error}.") from None
        if not writable or target.is_dir():
            raise InvalidRequest(f"Cannot write to {target}: no permission, or it is a folder.")
        if not exists(target):
            _check_disk(target)
        return target

    async def speak(
        self,
        tts: TextToSpeech,
        asked: VoicedRequest,
        output_path: str | os.PathLike[str] | None = None,
        *,
        stem: str,
        form: Rendering | None = None,
        sample_rate: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> VoiceResult:
        """Generate speech and write it to a file.

        Args:
            tts: The service.
            asked: The request, with the chosen voice.
            output_path: Path of the file; None: a new wav file in the folder.
            stem: Prefix for the name of a new file.
            form: How the audio is rendered; None: unchanged.
            sample_rate: Sample rate of the file, in Hz; None: that of the model.
            on_progress: Progress callback.

        Raises:
            InvalidRequest: The path cannot be written to.
            StorageFailed: The disk is full or failed.
            TTSError: See ``TextToSpeech.speak``.
        """
        target = self.reserve(output_path, stem=stem)
        form = form or rendering(target)
        spoken = await tts.speak(asked.request, on_progress=on_progress)
        speech = await asyncio.to_thread(_written, target, spoken, form, sample_rate)
        return VoiceResult(target, speech, asked.request.text, asked.speaker, asked.notes)

    async def write(self, speech: Speech, target: Path) -> Path:
        """Write the audio without blocking the event loop; return the path.

        Args:
            speech: The speech.
            target: Path from ``reserve``.
        """
        return await asyncio.to_thread(speech.save, target)

    def _new_name(self, stem: str, suffix: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="storycore-tts-"))
        return self._folder / f"{stem}-{uuid4().hex[:12]}{suffix}"


def write_file(target: Path, data: bytes) -> None:
    """Write a file; on failure, remove it. Blocks while it writes.

    Args:
        target: Path of the file.
        data: Its contents.

    Raises:
        StorageFailed: The file cannot be written.
    """
    with _disk_named(target):
        write_whole(target, data)


@contextmanager
def _disk_named(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"Cannot write to {target}: {error.strerror}.") from error


def _written(target: Path, speech: Speech, form: Rendering, sample_rate: int | None) -> Speech:
    if sample_rate not in (None, speech.sample_rate):
        assert sample_rate is not None
        samples = resampled(speech.samples, speech.sample_rate, sample_rate)
        speech = replace(speech, samples=samples, sample_rate=sample_rate)
    speech = form.rendered(speech)
    with _disk_named(target):
        speech.save(target)
    return speech


def _check_disk(target: Path) -> None:
    """Check that a new file can be written by writing a temporary file to its folder.

    Raises:
        InvalidRequest: The folder cannot be written to.
        StorageFailed: The disk is full.
    """
    try:
        with tempfile.TemporaryFile(dir=target.parent) as file:
            file.write(_PROBE)
    except OSError as error:
        said = f"Cannot write to {target}: {error.strerror or error}."
        if error.errno in _FULL:
            raise StorageFailed(said, hint="Free disk space, or choose another folder.") from None
        raise InvalidRequest(said) from None
