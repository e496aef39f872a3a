"""The target of the audio: a file, a new file in a folder, or stdout."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli import console
from storycore_tts.errors import InvalidRequest

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
    """The target of the audio.

    Args:
        path: The file; None for stdout.
        suffix: Suffix of its format, such as ".wav".
    """

    path: Path | None
    suffix: str

    async def write(self, speech: Speech, folder: AudioFolder) -> None:
        """Write the audio.

        Args:
            speech: The speech.
            folder: Writes files.

        Raises:
            OSError: The file or stdout cannot be written to.
        """
        if self.path is None:
            console.answer_bytes(speech.encode(self.suffix))
        else:
            await folder.write(speech, self.path)


def target_of(output: Output, *, folder: AudioFolder, text: str, stem: str) -> Target:
    """Return the target, after a check that it can be written to.

    Args:
        output: The options of the user.
        folder: Reserves paths, and provides the default folder.
        text: The spoken text, from which the name of a file in a given folder is made.
        stem: Prefix for the name of a new file.

    Raises:
        InvalidRequest: The target cannot be written to, or the file already exists.
        StorageFailed: The disk is full.
    """
    wanted = output.out
    if output.format is not None and wanted and wanted != _STDOUT and not _is_folder(wanted):
        raise InvalidRequest(
            "--format cannot be combined with a file name in --out.",
            hint="The suffix determines the format: --out hello.mp3.",
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
                f"The file {path} already exists.", hint="Use --force to overwrite it."
            )
    return Target(path, path.suffix.lower())


def readable(text: str) -> str:
    """Return the beginning of a text as a file name: letters, digits and hyphens."""
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
    """Return an unused path: "hello.wav", "hello-2.wav" and so on."""
    path, number = folder / f"{stem}{suffix}", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path


def _stdout(suffix: str) -> Target:
    from storycore_tts.sound.files import check_suffix

    check_suffix(f"audio{suffix}")
    if sys.stdout is None:
        raise InvalidRequest("Cannot write the audio to stdout, which is closed.")
    if console.stdout_is_terminal():
        raise InvalidRequest(
            "Cannot write the audio to stdout, which is a terminal.",
            hint="Redirect it to a program or a file: … --out - | aplay.",
        )
    return Target(None, suffix)
