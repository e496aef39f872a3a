"""What was written into a checkout, so that it can be taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from storycore_tts.entrypoints.checkout.files import place
from storycore_tts.services.migration import LocalChanges, Region

FOLDER = ".storycore-tts-migration"
"""Where backups and their manifest are, in the checkout."""

_MANIFEST = f"{FOLDER}/manifest.json"
_PENDING = f"{FOLDER}/pending.json"


class Record(BaseModel):
    """Something that is kept as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_bytes(self) -> bytes:
        """Return it as a file's content."""
        return f"{self.model_dump_json(indent=2)}\n".encode()


class FileRecord(Record):
    """SHA-256 of a file before and after a write; None stands for no file."""

    path: str
    before: str | None
    after: str | None


class WriteRecord(Record):
    """One write: the folder with its backups, and what it did."""

    folder: str
    start: int
    target: int
    files: tuple[FileRecord, ...]


class Manifest(Record):
    """All writes so far, and the regions that are in the files now."""

    version: Literal[1] = 1
    settings: str | None = None
    regions: tuple[Region, ...] = ()
    writes: tuple[WriteRecord, ...] = ()


_Kind = TypeVar("_Kind", bound=Record)


def manifest_file(root: Path) -> Path:
    """Return where the manifest is."""
    return place(root, _MANIFEST)


def pending_file(root: Path) -> Path:
    """Return where a write that is under way says so."""
    return place(root, _PENDING)


def load_manifest(root: Path) -> Manifest:
    """Return what the checkout's own record says; an empty one if there is none.

    Raises:
        LocalChanges: The record is damaged.
    """
    return _loaded(Manifest, manifest_file(root)) or Manifest()


def load_pending(root: Path) -> WriteRecord | None:
    """Return the write that was cut off, if one was.

    Raises:
        LocalChanges: Its record is damaged.
    """
    return _loaded(WriteRecord, pending_file(root))


def _loaded(kind: type[_Kind], file: Path) -> _Kind | None:
    try:
        return kind.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise LocalChanges(
            f"{FOLDER}/{file.name} is damaged: {first['msg']}.",
            hint="Restore it; the files of the engine were not touched.",
        ) from None
