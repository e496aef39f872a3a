"""The models on the server's disk, and its log output."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from .options import Options

ROOT = "/srv/ComfyUI/models/qwen-tts"
"""The models folder of the node pack, as the server sees it."""
ENTRIES = 300


class ServerLog:
    """The latest log entries of the server, as returned by /internal/logs."""

    def __init__(self) -> None:
        self._entries: deque[str] = deque(maxlen=ENTRIES)

    def print(self, text: str) -> None:
        """Print a line; Python's print creates two entries."""
        for part in (text, "\n"):
            self._entries.append(f"{datetime.now().isoformat()} - {part}")

    @property
    def text(self) -> str:
        """The whole log."""
        return "".join(self._entries)


def model_files(options: Options) -> list[str]:
    """Return the files listed by GET /models/qwen-tts, of models and checkpoints."""
    inside = [path for path in options.checkpoints if path.startswith(f"{ROOT}/")]
    folders = [*options.models, *(path.removeprefix(f"{ROOT}/") for path in inside)]
    return sorted(f"{folder}/{name}" for folder in folders for name in _FILES)


def is_installed(options: Options, kind: str, size: str) -> bool:
    """Return whether the pack finds a model; it matches two words in the names of folders."""
    names = [folder.lower() for folder in options.models if "/" not in folder]
    return any(size.lower() in name and kind.lower() in name for name in names)


_FILES = ("config.json", "model.safetensors")
