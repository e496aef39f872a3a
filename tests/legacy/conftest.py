"""Settings of the old classes."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from storycore_tts import QwenTTSConfig


@pytest.fixture
def settings(tmp_path):
    """Makes settings that touch nothing of the user's."""

    def make(**values):
        usual = {"backend": "draft", "fallback": "none", "voices_dir": str(tmp_path / "voices")}
        return QwenTTSConfig(**{**usual, **values})

    return make


@pytest.fixture
def recording(tmp_path):
    """Four seconds of a tone in a file."""
    time = np.arange(96_000) / 24_000
    file = tmp_path / "recording.wav"
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * 220 * time), 24_000)
    return file
