"""What lies on the server's disk besides outputs: the models, and the log that it prints."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from .options import Options

ROOT = "/srv/ComfyUI/models/qwen-tts"
"""The folder in which the pack looks for models, as the server sees it."""
ENTRIES = 300


class ServerLog:
    """The last entries that the server printed, as /internal/logs shows them."""

    def __init__(self) -> None:
        self._entries: deque[str] = deque(maxlen=ENTRIES)

    def print(self, text: str) -> None:
        """Print a line: Python's print makes two entries of it."""
        for part in (text, "\n"):
            self._entries.append(f"{datetime.now().isoformat()} - {part}")

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._entries)


def model_files(options: Options) -> list[str]:
    """What GET /models/qwen-tts lists: the files of the models and of checkpoints beside them."""
    inside = [path for path in options.checkpoints if path.startswith(f"{ROOT}/")]
    folders = [*options.models, *(path.removeprefix(f"{ROOT}/") for path in inside)]
    return sorted(f"{folder}/{name}" for folder in folders for name in _FILES)


def is_installed(options: Options, kind: str, size: str) -> bool:
    """Whether the pack finds a model: by two words in a folder's name, as it looks for them."""
    names = [folder.lower() for folder in options.models if "/" not in folder]
    return any(size.lower() in name and kind.lower() in name for name in names)


_FILES = ("config.json", "model.safetensors")
