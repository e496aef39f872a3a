"""The models that a server has installed, and the checkpoint it has loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from storycore_tts.adapters.comfyui.protocol.messages import mapping

MODEL_FOLDER = "qwen-tts"  # ComfyUI's name for the models folder of the node pack
_MODEL = re.compile(r"Qwen3-TTS-12Hz-(?P<size>[\d.]+B)-(?P<kind>\w+)")
_ENTRY = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+ - ")  # start of an entry in ComfyUI's log
_FOUND = "Using custom model path: "
_NOT_FOUND = "Custom model path not found or invalid: "


def names_of_files(listing: Any) -> frozenset[str] | None:
    """Parse the response of ``/models/qwen-tts``; None if it is invalid.

    Args:
        listing: The decoded JSON.
    """
    if not isinstance(listing, list):
        return None
    return frozenset(name.replace("\\", "/") for name in listing if isinstance(name, str))


def folders_of(answer: Any, kind: str) -> tuple[str, ...]:
    """Return the folders for a kind of models from the response of ``/internal/folder_paths``.

    Args:
        answer: The decoded JSON.
        kind: Kind of the models, such as "qwen-tts".
    """
    listed = mapping(answer).get(kind)
    return tuple(str(path) for path in listed) if isinstance(listed, list) else ()


@dataclass(frozen=True)
class InstalledModels:
    """The files in the models folder of the node pack.

    Args:
        files: Their relative paths, with slashes; None if unknown.
    """

    files: frozenset[str] | None

    def missing(self, model: str) -> str | None:
        """Describe what is missing of a model; None if nothing is, or if it is unknown.

        Args:
            model: A repository such as "Qwen/Qwen3-TTS-12Hz-1.7B-Base".
        """
        if self.files is None:
            return None
        name = model.rpartition("/")[2]
        places = [folder for folder in self._folders("config.json") if _is_taken_for(folder, name)]
        if any("/" not in folder for folder in places):
            return None
        if places:
            return f"{name} is in the subfolder {places[0]} instead of models/{MODEL_FOLDER}"
        if any(file.startswith(f"{name}/") for file in self.files):
            return f"{name} is incomplete (no config.json) in models/{MODEL_FOLDER}"
        return f"{name} is not in models/{MODEL_FOLDER}"

    def has_checkpoint(self, path: str, roots: tuple[str, ...]) -> bool | None:
        """Return whether a checkpoint exists; None if unknown.

        Args:
            path: Its folder, as the server sees it.
            roots: The models folders of the node pack.
        """
        wanted = path.replace("\\", "/").rstrip("/")
        for root in (root.replace("\\", "/").rstrip("/") for root in roots):
            if self.files is not None and wanted.startswith(f"{root}/"):
                return f"{wanted[len(root) + 1 :]}/config.json" in self.files
        return None

    def _folders(self, file: str) -> list[str]:
        return sorted(f.rpartition("/")[0] for f in self.files or () if f.endswith(f"/{file}"))


def _is_taken_for(folder: str, model: str) -> bool:
    """Return whether the node pack would use a folder of that name for a model."""
    wanted, name = _MODEL.fullmatch(model), folder.rpartition("/")[2]
    if wanted is None:
        return name == model
    return wanted["size"] in name and wanted["kind"].lower() in name.lower()


def checkpoint_was_found(log: Any, path: str) -> bool | None:
    """Return whether the node pack found a checkpoint, according to ComfyUI's log.

    Args:
        log: The response of ``/internal/logs``.
        path: The path of the checkpoint, as sent to the server.

    Returns:
        None if the log does not contain it: it keeps 300 entries, and nothing is logged while the
        model stays in memory.
    """
    for entry in reversed(_ENTRY.split(log) if isinstance(log, str) else []):
        said = entry.strip()
        if said.endswith(f"{_FOUND}{path}"):
            return True
        if said.endswith(f"{_NOT_FOUND}{path}"):
            return False
    return None
