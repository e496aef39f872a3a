"""Tiny models, and small datasets to train them on."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from storycore_tts.domain.requests import TrainingRequest

if TYPE_CHECKING:
    from storycore_tts.testing.tiny_models import TinyModels

WORDS = [
    "Good morning, how are you?",
    "The lamp is on the table.",
    "She left, and said no word.",
    "Come in, come in!",
]


def tone(seconds: float, *, pitch: float = 220.0, sample_rate: int = 24_000) -> np.ndarray:
    """A tone with some breath in it, float32."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    breath = 0.02 * np.random.default_rng(int(pitch)).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * pitch * time) + breath).astype(np.float32)


def write_recording(
    folder: Path, name: str, text: str | None, *, seconds: float = 1.2, pitch: float | None = None
) -> Path:
    """A recording, and its transcript beside it unless it is None; other names sound otherwise."""
    pitch = pitch or 100 + zlib.crc32(name.encode()) % 400
    audio = folder / f"{name}.wav"
    soundfile.write(audio, tone(seconds, pitch=pitch), 24_000)
    if text is not None:
        audio.with_suffix(".txt").write_text(text, encoding="utf-8")
    return audio


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder of four good recordings."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    for number, text in enumerate(WORDS):
        write_recording(folder, f"line{number}", text, pitch=180 + 40 * number)
    return folder


@pytest.fixture
def request_for(dataset: Path, tmp_path: Path):
    """Make a small request for that folder."""

    def make(**changes: object) -> TrainingRequest:
        values: dict[str, object] = {
            "dataset": str(dataset),
            "output_dir": str(tmp_path / "out"),
            "speaker_name": "Hero",
            "test_text": "Yes.",
            "learning_rate": 1e-4,  # more, and the tiny models unlearn when to end
            "num_epochs": 3,
            "gradient_accumulation_steps": 2,
        }
        return TrainingRequest(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def models(tiny_models: TinyModels) -> TinyModels:
    return tiny_models
