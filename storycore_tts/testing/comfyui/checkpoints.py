"""Fine-tuned checkpoints on the server, declared in the options or trained there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint:
    """A model folder: kind custom_voice, base or voice_design; speakers in lower case."""

    kind: str
    size: str
    speakers: tuple[str, ...] = ()


class Checkpoints:
    """Finds checkpoints by their path on the server."""

    def __init__(
        self, declared: Mapping[str, Sequence[str]], on_disk: Callable[[str], Path]
    ) -> None:
        self._on_disk = on_disk
        self._declared = {
            path: Checkpoint(
                "custom_voice" if speakers else "base", "1b7", tuple(s.lower() for s in speakers)
            )
            for path, speakers in declared.items()
        }

    def at(self, path: str) -> Checkpoint | None:
        """Return the checkpoint at a path, or None."""
        if not path:
            return None
        if path in self._declared:
            return self._declared[path]
        config = self._on_disk(path) / "config.json"
        if not config.is_file():
            return None
        data = json.loads(config.read_text(encoding="utf-8"))
        return Checkpoint(
            data.get("tts_model_type", "base"),
            data.get("tts_model_size", "1b7"),
            tuple(data.get("talker_config", {}).get("spk_id", {})),
        )


def write_checkpoint(folder: Path, speaker: str) -> None:
    """Write the result of a training: a folder whose config names the speaker."""
    folder.mkdir(parents=True, exist_ok=True)
    name = speaker.lower()
    config = {
        "tts_model_type": "custom_voice",
        "tts_model_size": "1b7",
        "talker_config": {"spk_id": {name: 3000}, "spk_is_dialect": {name: False}},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
