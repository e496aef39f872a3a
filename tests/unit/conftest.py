import io

import numpy as np
import pytest
import soundfile


def _tone(seconds: float = 1.0, rate: int = 24_000, loudness: float = 0.5) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (loudness * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


def _audio_file(
    container: str = "WAV",
    encoding: str = "PCM_16",
    *,
    seconds: float = 1.0,
    rate: int = 24_000,
    channels: int = 1,
) -> bytes:
    buffer = io.BytesIO()
    samples = np.repeat(_tone(seconds, rate)[:, None], channels, axis=1)
    soundfile.write(buffer, samples, rate, format=container, subtype=encoding)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def tone():
    """Makes a sine of 220 Hz."""
    return _tone


@pytest.fixture(scope="session")
def audio_file():
    """Makes the bytes of a sound file that holds that sine."""
    return _audio_file
