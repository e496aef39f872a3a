"""Where the audio goes: into a file, into a folder under a readable name, or to stdout."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.entrypoints.cli import console

if TYPE_CHECKING:
    from storycore_tts.domain.speech import Speech
    from storycore_tts.entrypoints.cli.options import Output
    from storycore_tts.services.output import AudioFolder

_STDOUT = "-"
_LONGEST_NAME = 40  # characters of the text
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


@dataclass(frozen=True)
class Target:
    """Where a line goes.

    Args:
        path: The file; None for stdout.
        suffix: Its kind, such as ".wav".
    """

    path: Path | None
    suffix: str

    async def write(self, speech: Speech, folder: AudioFolder) -> None:
        """Write the audio.

        Raises:
            OSError: The disk, or the program behind stdout, takes no more.
        """
        if self.path is None:
            console.answer_bytes(speech.encode(self.suffix))
        else:
            await folder.write(speech, self.path)


def target_of(output: Output, *, folder: AudioFolder, text: str, stem: str) -> Target:
    """Return where a line goes, and make sure that it can be written.

    Args:
        output: What the user wants.
        folder: Where new files go, and who finds out whether a place can be written to.
        text: What is said, for the name of a file in a folder that the user named.
        stem: How the name of a new file begins.

    Raises:
        InvalidRequest: A place that cannot be written to, or a file that is there already.
        StorageFailed: The disk is full.
    """
    wanted = output.out
    if output.format is not None and wanted and wanted != _STDOUT and not _is_folder(wanted):
        raise InvalidRequest(
            "--format goes with a folder, with - and with no --out.",
            hint="The name of a file says its format by itself: --out hello.mp3.",
        )
    suffix = f".{(output.format or 'wav').lower().removeprefix('.')}"
    if wanted == _STDOUT:
        return _stdout(suffix)
    if wanted is None:
        path = folder.reserve(None, stem=stem, suffix=suffix)
    elif _is_folder(wanted):
        path = folder.reserve(_free_name(Path(wanted), readable(text) or stem, suffix), stem=stem)
    else:
        path = folder.reserve(wanted, stem=stem)
        if path.is_file() and not output.force:
            raise InvalidRequest(
                f"The file {path} is there already.", hint="Use --force to write over it."
            )
    return Target(path, path.suffix.lower())


def readable(text: str) -> str:
    """Return the beginning of a text as a file's name: letters, digits and hyphens."""
    words = [word for word in _BETWEEN_WORDS.split(text.lower()) if word]
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word
        if len(longer) > _LONGEST_NAME:
            break
        name = longer
    return name or "".join(words[:1])[:_LONGEST_NAME]


def _is_folder(wanted: str) -> bool:
    return wanted.endswith(_SEPARATORS) or Path(wanted).is_dir()


def _free_name(folder: Path, stem: str, suffix: str) -> Path:
    """Return a path where nothing is: "hello.wav", "hello-2.wav" and so on."""
    path, number = folder / f"{stem}{suffix}", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path


def _stdout(suffix: str) -> Target:
    from storycore_tts.sound.files import check_suffix

    check_suffix(f"audio{suffix}")
    if sys.stdout is None:
        raise InvalidRequest("The audio was to go to stdout, and stdout is closed.")
    if console.stdout_is_terminal():
        raise InvalidRequest(
            "The audio was to go to stdout, which is a terminal.",
            hint="Send it into a program or a file: … --out - | aplay.",
        )
    return Target(None, suffix)
