"""Which models a server has, as far as it tells, and which checkpoint it loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from storycore_tts.adapters.comfyui.protocol.messages import mapping

MODEL_FOLDER = "qwen-tts"  # as ComfyUI names the folder in which the node pack looks
_MODEL = re.compile(r"Qwen3-TTS-12Hz-(?P<size>[\d.]+B)-(?P<kind>\w+)")
_ENTRY = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+ - ")  # what each entry of ComfyUI's log begins with
_FOUND = "Using custom model path: "
_NOT_FOUND = "Custom model path not found or invalid: "


def names_of_files(listing: Any) -> frozenset[str] | None:
    """Read the answer of ``/models/qwen-tts``; None if it is none."""
    if not isinstance(listing, list):
        return None
    return frozenset(name.replace("\\", "/") for name in listing if isinstance(name, str))


def folders_of(answer: Any, kind: str) -> tuple[str, ...]:
    """Read from the answer of ``/internal/folder_paths`` where models of a kind lie."""
    listed = mapping(answer).get(kind)
    return tuple(str(path) for path in listed) if isinstance(listed, list) else ()


@dataclass(frozen=True)
class InstalledModels:
    """The files below the folder in which the node pack looks for models.

    Args:
        files: Their paths from there, with slashes; None where the server does not tell.
    """

    files: frozenset[str] | None

    def missing(self, model: str) -> str | None:
        """Say in words what is missing of a model; None: nothing, or the server does not tell.

        Args:
            model: Such as "Qwen/Qwen3-TTS-12Hz-1.7B-Base".
        """
        if self.files is None:
            return None
        name = model.rpartition("/")[2]
        places = [folder for folder in self._folders("config.json") if _is_taken_for(folder, name)]
        if any("/" not in folder for folder in places):
            return None
        if places:
            return f"{name} lies in {places[0]}, where nobody looks, not in models/{MODEL_FOLDER}"
        if any(file.startswith(f"{name}/") for file in self.files):
            return f"{name} has no config.json, and so is incomplete, in models/{MODEL_FOLDER}"
        return f"{name} is not in models/{MODEL_FOLDER}"

    def has_checkpoint(self, path: str, roots: tuple[str, ...]) -> bool | None:
        """Tell whether a checkpoint is there; None where the server does not tell.

        Args:
            path: Its folder, as the server sees it.
            roots: The folders in which the node pack looks for models.
        """
        wanted = path.replace("\\", "/").rstrip("/")
        for root in (root.replace("\\", "/").rstrip("/") for root in roots):
            if self.files is not None and wanted.startswith(f"{root}/"):
                return f"{wanted[len(root) + 1 :]}/config.json" in self.files
        return None

    def _folders(self, file: str) -> list[str]:
        return sorted(f.rpartition("/")[0] for f in self.files or () if f.endswith(f"/{file}"))


def _is_taken_for(folder: str, model: str) -> bool:
    """Tell whether the node pack would take a folder of that name for a model, as it judges."""
    wanted, name = _MODEL.fullmatch(model), folder.rpartition("/")[2]
    if wanted is None:
        return name == model
    return wanted["size"] in name and wanted["kind"].lower() in name.lower()


def checkpoint_was_found(log: Any, path: str) -> bool | None:
    """Read from ComfyUI's log whether the node pack found a checkpoint when it last loaded it.

    Args:
        log: The answer of ``/internal/logs``.
        path: The checkpoint, as it was sent.

    Returns:
        None where the log does not say: it keeps 300 entries, and nothing is printed while the
        model stays in memory.
    """
    for entry in reversed(_ENTRY.split(log) if isinstance(log, str) else []):
        said = entry.strip()
        if said.endswith(f"{_FOUND}{path}"):
            return True
        if said.endswith(f"{_NOT_FOUND}{path}"):
            return False
    return None
