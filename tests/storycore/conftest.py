"""Settings files, and measures of sound."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import yaml
from dependency_injector import providers

from storycore_tts.container import Container


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    """Own user data, and an own working folder: voices of characters are remembered there."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings(tmp_path):
    """Writes a YAML file of settings, and writes it anew when it is called again."""
    file = tmp_path / "storycore-tts.yaml"

    def write(**qwen):
        usual = {"backend": "draft", "fallback": "none", "voices_dir": str(tmp_path / "voices")}
        document = {"tts": {"qwen": {**usual, **qwen}}}
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return file

    return write


@pytest.fixture
def a_second_passes():
    """Lets a second pass for those who look at files."""

    class Clock:
        now = 0.0

        def __call__(self):
            self.now += 1.0

    clock = Clock()
    with Container.clock.override(providers.Object(lambda: clock.now)):
        yield clock


@pytest.fixture(scope="session")
def heard():
    """Reads a sound file: (samples, rate); it holds sound."""

    def read(path):
        samples, rate = soundfile.read(path, dtype="float32")
        assert np.abs(samples).max() > 0.01
        return samples, rate

    return read


@pytest.fixture(scope="session")
def fundamental():
    """Returns the median pitch of speech in Hz, by autocorrelation of its voiced frames."""

    def measure(samples, rate, lowest=50, highest=500):
        width, found = int(0.06 * rate), []
        for start in range(0, len(samples) - width, width // 2):
            frame = samples[start : start + width] * np.hanning(width)
            if np.sqrt((frame**2).mean()) < 0.02:
                continue
            alike = np.correlate(frame, frame, "full")[width - 1 :]
            low, high = int(rate / highest), int(rate / lowest)
            lag = low + int(alike[low:high].argmax())
            if alike[lag] > 0.5 * alike[0]:
                found.append(rate / lag)
        return float(np.median(found))

    return measure
