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
"""Raise it with any change of what is built, so that older folders are built anew."""


@dataclass(frozen=True)
class TinyModels:
    """A folder with tiny checkpoints, named like the published repositories.

    Args:
        folder: Where they are.
    """

    folder: Path

    def path(self, kind: Kind, size: Size = "1.7B") -> Path:
        """A checkpoint's folder, such as ``…/Qwen3-TTS-12Hz-1.7B-CustomVoice``.

        Args:
            kind: The tokenizer is the codec alone; each other checkpoint has a copy of it.
            size: The published size that it stands in for. VoiceDesign has 1.7B only; the
                tokenizer has none.

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
    """Build all six checkpoints, or find them built with the same options.

    Takes seconds. The same options and the same package versions give the same bytes. A crash
    leaves no half checkpoint; other options replace what was built before. Torch's random state
    is left as it was.

    Args:
        folder: Where to put them; made if missing.
        ends: Whether the talker says its end token: after two frames (0.16 s) per token of text.
            With False it never does and runs into any token budget.
        hidden_size: The talker's width, a multiple of 32; larger for benchmarks, such as 512.
        layers: The talker's layers, at least 2: these count the text, further ones are random.
        seed: Another seed, other voices.

    Raises:
        BackendUnavailable: torch, qwen_tts or what they need cannot be imported.
        ValueError: No such size.
        FileExistsError: A checkpoint's folder exists and is not ours; nothing of it is touched.
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
                    # Far apart, so that no two checkpoints of neighbouring seeds are the same.
                    config, fresh = model_config(kind, size, shape, text), 1000 * (seed + 1)
                    write_model(building, config, text, ends=ends, seed=fresh + number)
    return models


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)
