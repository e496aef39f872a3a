"""Lists the recordings of a folder or a .jsonl file, and collects their problems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storycore_tts.errors import InvalidDataset, shown

# Includes formats that cannot be decoded, such as .m4a: they are reported as errors rather than
# silently left out of the training.
AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".m4a", ".aac", ".wma"}
)
_NAMED = 3  # folders listed in a message


@dataclass(frozen=True)
class Entry:
    """A recording as listed in its source; without text if that error is already reported."""

    name: str
    audio: Path
    text: str | None
    reference: Path | None = None


class Report:
    """Collects problems by file."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._by_digest: dict[str, str] = {}

    def error(self, name: str, what: str) -> None:
        """Report a problem that prevents training."""
        self.errors.append(f"{name}: {what}")

    def warning(self, name: str, what: str) -> None:
        """Report a possible problem that does not prevent training."""
        self.warnings.append(f"{name}: {what}")

    def is_new(self, digest: str, name: str) -> bool:
        """Return whether the audio is new; report a duplicate as an error."""
        first = self._by_digest.setdefault(digest, name)
        if first != name:
            self.error(name, f"the same sound as {first}")
        return first == name

    def raise_errors(self) -> None:
        """Raise ``InvalidDataset`` if there is an error; its message lists all of them."""
        if not self.errors:
            return
        count = "a fault" if len(self.errors) == 1 else f"{len(self.errors)} faults"
        listed = "\n".join(f"  {line}" for line in self.errors)
        raise InvalidDataset(
            f"The dataset {self._source} has {count}:\n{listed}\nNothing was trained.",
            hint="Fix or remove these files.",
        )


def entries_of(source: Path, report: Report) -> Iterator[Entry]:
    """Yield the recordings of a folder or a .jsonl file, in order.

    Raises:
        OSError: The source itself cannot be read.
    """
    return (_folder if source.is_dir() else _lines)(source, report)


def _folder(folder: Path, report: Report) -> Iterator[Entry]:
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    transcripts = {file for file in files if file.suffix == ".txt"}
    for audio in files:
        if audio.suffix.lower() in AUDIO_SUFFIXES:
            transcript = audio.with_suffix(".txt")
            transcripts.discard(transcript)
            yield Entry(audio.name, audio, _words(audio, transcript, report))
    for transcript in sorted(transcripts):
        report.warning(transcript.name, "there is no recording for this transcript")


def recordings_below(source: Path) -> str:
    """Describe how many recordings are in which subfolders; "" if there are none."""
    if not source.is_dir():
        return ""
    folders = [
        file.relative_to(source).parts[0]
        for file in source.glob("*/**/*")
        if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".")
    ]
    names = sorted(set(folders))
    shortened = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    count = "a recording" if len(folders) == 1 else f"{len(folders)} recordings"
    return f"{count} in folders below it ({shortened})" if folders else ""


def _words(audio: Path, transcript: Path, report: Report) -> str | None:
    try:
        return transcript.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        report.error(audio.name, f"there is no transcript {transcript.name}")
    except UnicodeDecodeError:
        report.error(transcript.name, "is not valid UTF-8")
    except OSError as error:
        report.error(transcript.name, f"cannot be opened: {error.strerror}")
    return None


def _lines(file: Path, report: Report) -> Iterator[Entry]:
    for number, line in _parsed(file, report):
        name, audio = f"line {number}", line.get("audio")
        if not isinstance(audio, str) or not audio:
            report.error(name, f"'audio' must be a path, not {shown(audio)}")
            continue
        name = f"{name} ({audio})"
        text, reference = line.get("text"), line.get("ref_audio")
        if not isinstance(text, str):
            report.error(name, f"'text' must be a string, not {shown(text)}")
            text = None
        if reference is not None and (not isinstance(reference, str) or not reference):
            report.error(name, f"'ref_audio' must be a path, not {shown(reference)}")
            reference = None
        at = file.parent
        if not (at / audio).exists() and Path(audio).exists():  # where upstream's script looks
            report.error(
                name,
                f"is in the working directory and not beside {file.name}: paths are relative to "
                "the manifest. Move it there, or write absolute paths",
            )
            continue
        yield Entry(name, at / audio, text, at / reference if reference else None)


def _parsed(file: Path, report: Report) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the JSON objects of a .jsonl file, with line numbers from 1."""
    for number, line in enumerate(file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:  # invalid JSON or UTF-8
            report.error(f"line {number}", f"is not valid JSON: {error}")
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            report.error(f"line {number}", "is not a JSON object")
