"""Builds the six checkpoints."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storycore_tts.adapters.direct.package import load_package

from .writing import finished, is_built

Kind = Literal["base", "custom_voice", "voice_design", "tokenizer"]
Size = Literal["0.6B", "1.7B"]

_NAMES = {"base": "Base", "custom_voice": "CustomVoice", "voice_design": "VoiceDesign"}
_CHECKPOINTS: tuple[tuple[Kind, Size], ...] = (
    ("base", "1.7B"),
    ("base", "0.6B"),
    ("custom_voice", "1.7B"),
    ("custom_voice", "0.6B"),
    ("voice_design", "1.7B"),
)
_FORMAT = 1
"""Increment with any change to what is built, so that older folders are rebuilt."""


@dataclass(frozen=True)
class TinyModels:
    """A folder of tiny checkpoints, named like the published repositories.

    Args:
        folder: The folder.
    """

    folder: Path

    def path(self, kind: Kind, size: Size = "1.7B") -> Path:
        """Return a checkpoint's folder, such as ``…/Qwen3-TTS-12Hz-1.7B-CustomVoice``.

        Args:
            kind: Kind of checkpoint. The tokenizer is only the codec; the others have a copy of it.
            size: The published size that it replaces. VoiceDesign exists only as 1.7B; ignored for
                the tokenizer.

        Raises:
            ValueError: There is no such checkpoint.
        """
        if kind == "tokenizer":
            return self.folder / "Qwen3-TTS-Tokenizer-12Hz"
        if (kind, size) not in _CHECKPOINTS:
            known = ", ".join(f"{kind} {size}" for kind, size in _CHECKPOINTS)
            raise ValueError(f"no tiny model {kind!r} of size {size!r}; there are: {known}")
        return self.folder / f"Qwen3-TTS-12Hz-{size}-{_NAMES[kind]}"


def build_tiny_models(
    folder: Path, *, ends: bool = True, hidden_size: int = 32, layers: int = 2, seed: int = 0
) -> TinyModels:
    """Build all six checkpoints, or reuse those built with the same options.

    Takes seconds. The same options and package versions give the same bytes. A crash leaves no
    partial checkpoint; different options replace earlier checkpoints. Torch's random state is
    preserved.

    Args:
        folder: Folder to build in; created if missing.
        ends: Whether the talker stops, after two frames (0.16 s) per token of text. If False, it
            never stops and exhausts any token budget.
        hidden_size: The talker's width, a multiple of 32; larger for benchmarks, such as 512.
        layers: Number of the talker's layers, at least 2: these count the text; further ones are
            random.
        seed: Random seed; different seeds give different voices.

    Raises:
        BackendUnavailable: torch, qwen_tts or one of their dependencies cannot be imported.
        ValueError: ``hidden_size`` or ``layers`` is invalid.
        FileExistsError: A checkpoint's folder exists but was not built here; it is not changed.
    """
    from .configs import Shape

    models = TinyModels(Path(folder))
    shape = Shape(hidden_size, layers)
    options = {
        "format": _FORMAT,
        "ends": ends,
        "hidden_size": hidden_size,
        "layers": layers,
        "seed": seed,
    }
    wanted = [models.path("tokenizer"), *(models.path(*each) for each in _CHECKPOINTS)]
    missing = [target for target in wanted if not is_built(target, options)]
    if not missing:
        return models

    load_package()
    import torch

    from .codec import write_codec
    from .configs import model_config
    from .talker import write_model
    from .text import write_text_tokenizer

    with tempfile.TemporaryDirectory() as shared, torch.random.fork_rng(devices=[]):
        tokenizer, codec = Path(shared, "text"), Path(shared, "codec")
        text = write_text_tokenizer(tokenizer)
        write_codec(codec, seed)
        if wanted[0] in missing:
            with finished(wanted[0], options) as building:
                _copy(codec, building)
        for number, (kind, size) in enumerate(_CHECKPOINTS, start=1):
            if wanted[number] in missing:
                with finished(wanted[number], options) as building:
                    _copy(tokenizer, building)
                    _copy(codec, building / "speech_tokenizer")
                    # Spaced so that checkpoints of adjacent seeds never share a seed.
                    config, fresh = model_config(kind, size, shape, text), 1000 * (seed + 1)
                    write_model(building, config, text, ends=ends, seed=fresh + number)
    return models


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)
