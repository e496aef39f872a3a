"""Files of the server: input, output and temp, on disk or (instant mode) in memory."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

FOLDERS = ("input", "output", "temp")
MEDIA_TYPES = {
    ".flac": "audio/flac",
    ".wav": "audio/x-wav",
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg",
    ".ogg": "audio/ogg",
    ".txt": "text/plain",
    ".png": "image/png",
}


class OutsideFolder(ValueError):
    """A path is outside of the allowed folder."""


class Storage:
    """Files by folder type, subfolder and name, with ComfyUI's rules for names."""

    def __init__(self, data_dir: Path | None, *, in_memory: bool) -> None:
        self._temporary = data_dir is None
        self.root = (data_dir or Path(tempfile.mkdtemp(prefix="standin-comfyui-"))).resolve()
        self._in_memory = in_memory
        self._memory: dict[tuple[str, str, str], bytes] = {}
        self._counters: dict[tuple[str, str], int] = {}
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    def forget_temp(self) -> None:
        """Empty the temp folder, as ComfyUI does at its start."""
        self._memory = {key: data for key, data in self._memory.items() if key[0] != "temp"}
        shutil.rmtree(self.root / "temp", ignore_errors=True)
        (self.root / "temp").mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Remove the folder if it is temporary."""
        if self._temporary:
            shutil.rmtree(self.root, ignore_errors=True)

    def folder(self, kind: str, subfolder: str = "") -> Path:
        """Return the path of a folder; raises OutsideFolder."""
        base = self.root / kind
        folder = _normal(base / subfolder)
        if not folder.is_relative_to(base):
            raise OutsideFolder(str(folder))
        return folder

    def read(self, kind: str, subfolder: str, name: str) -> bytes | None:
        """Return the contents of a file, or None if it does not exist."""
        kept = self._memory.get((kind, subfolder, name))
        if kept is not None:
            return kept
        path = self.folder(kind, subfolder) / Path(name).name
        return path.read_bytes() if path.is_file() else None

    def write(self, kind: str, subfolder: str, name: str, data: bytes) -> None:
        """Write an output atomically."""
        if self._in_memory:
            self._memory[kind, subfolder, name] = data
            return
        folder = self.folder(kind, subfolder)
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{name}.partial"
        partial.write_bytes(data)
        partial.replace(folder / name)

    def delete(self, kind: str, subfolder: str, name: str) -> None:
        """Delete a file if it exists."""
        self._memory.pop((kind, subfolder, name), None)
        (self.folder(kind, subfolder) / name).unlink(missing_ok=True)

    def next_name(self, kind: str, prefix: str, suffix: str) -> tuple[str, str]:
        """Return the next subfolder and file name: "a/b", "_.flac" → "a", "b_00001_.flac"."""
        subfolder, stem = os.path.split(os.path.normpath(prefix))
        folder = self.folder(kind, subfolder)
        if self._in_memory:
            count = self._counters.get((kind, prefix), 0) + 1
            self._counters[kind, prefix] = count
        else:
            count = _highest(folder, stem) + 1
        return subfolder, f"{stem}_{count:05}{suffix}"

    # Uploads and inputs of LoadAudio

    def upload(
        self, data: bytes, name: str, *, kind: str, subfolder: str, overwrite: bool
    ) -> tuple[str, str]:
        """Store an upload under its name, or as "name (1)" if that has different contents.

        Returns the name and the subfolder. Raises OutsideFolder for a path outside of the folder,
        and FileNotFoundError for a name with a missing folder, as ComfyUI does.
        """
        folder = self.folder(kind, os.path.normpath(subfolder) if subfolder else "")
        target = _normal(folder / name)
        if not target.is_relative_to(self.root / kind):
            raise OutsideFolder(str(target))
        folder.mkdir(parents=True, exist_ok=True)
        stem, suffix = Path(name).stem, Path(name).suffix
        count = 1
        while not overwrite and target.exists():
            if target.read_bytes() == data:
                return name, subfolder
            name = f"{stem} ({count}){suffix}"
            target = folder / name
            count += 1
        target.write_bytes(data)
        return name, subfolder

    def annotated(self, name: str) -> Path:
        """Return the path for "name", "sub/name" or "name [temp]"; default: the input folder."""
        kind = "input"
        if found := re.fullmatch(r"(.*) \[(input|output|temp)\]", name, re.DOTALL):
            name, kind = found[1], found[2]
        return self.root / kind / name

    def digest(self, name: str) -> str:
        """Return a hash of the contents of an annotated file; "" if it is missing."""
        path = self.annotated(name)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def inputs(self) -> list[str]:
        """Return the audio files in the input folder, without subfolders."""
        audio = {suffix for suffix, kind in MEDIA_TYPES.items() if kind.startswith("audio/")}
        return sorted(p.name for p in (self.root / "input").iterdir() if p.suffix.lower() in audio)


def _normal(path: Path) -> Path:
    # Not resolve(): links from the folder to the outside are allowed.
    return Path(os.path.normpath(path))


def _highest(folder: Path, stem: str) -> int:
    if not folder.is_dir():
        return 0
    pattern = re.compile(re.escape(stem) + r"_(\d+)[_.]")
    found = (pattern.match(entry.name) for entry in folder.iterdir())
    return max((int(match[1]) for match in found if match), default=0)
