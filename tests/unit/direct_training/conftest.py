"""Tiny models, and small datasets to train them on."""

import zlib

import numpy as np
import pytest
import soundfile

from storycore_tts.domain.requests import TrainingRequest

WORDS = [
    "Good morning, how are you?",
    "The lamp is on the table.",
    "She left, and said no word.",
    "Come in, come in!",
]


def tone(seconds, *, pitch=220.0, sample_rate=24_000):
    """A tone with some breath in it, float32."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    breath = 0.02 * np.random.default_rng(int(pitch)).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * pitch * time) + breath).astype(np.float32)


def write_recording(folder, name, text, *, seconds=1.2, pitch=None):
    """A recording, and its transcript beside it unless it is None; other names sound otherwise."""
    pitch = pitch or 100 + zlib.crc32(name.encode()) % 400
    audio = folder / f"{name}.wav"
    soundfile.write(audio, tone(seconds, pitch=pitch), 24_000)
    if text is not None:
        audio.with_suffix(".txt").write_text(text, encoding="utf-8")
    return audio


@pytest.fixture
def dataset(tmp_path):
    """A folder of four good recordings."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    for number, text in enumerate(WORDS):
        write_recording(folder, f"line{number}", text, pitch=180 + 40 * number)
    return folder


@pytest.fixture
def request_for(dataset, tmp_path):
    """Make a small request for that folder."""

    def make(**changes):
        values = {
            "dataset": str(dataset),
            "output_dir": str(tmp_path / "out"),
            "speaker_name": "Hero",
            "test_text": "Yes.",
            "learning_rate": 1e-4,  # more, and the tiny models unlearn when to end
            "num_epochs": 3,
            "gradient_accumulation_steps": 2,
        }
        return TrainingRequest(**{**values, **changes})

    return make


@pytest.fixture
def train(tiny_models, request_for):
    """Train on the small dataset; ``how`` goes to the training, all else into its request."""
    from storycore_tts.adapters.direct.training import train

    def run(how=None, **request):
        usual = {
            "base_model": tiny_models.path("base"),
            "tokenizer": None,
            "device": "cpu",
            "dtype": torch.float32,
            "on_progress": lambda _: None,
            "cancelled": lambda: False,
        }
        return train(request_for(**request), **{**usual, **(how or {})})

    torch = pytest.importorskip("torch", reason="fine-tuning needs storycore-tts[direct]")
    return run


def folders(output):
    return sorted(path.name for path in output.iterdir())
