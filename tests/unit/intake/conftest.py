import io
import struct
import sys

import numpy as np
import psutil
import pytest
import soundfile

from storycore_tts.adapters.intake import RecordingReader


def _recording(
    container="WAV", encoding="PCM_16", *, seconds=1.0, rate=24_000, channels=1, loudness=0.5
):
    time = np.arange(int(seconds * rate)) / rate
    tone = (loudness * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    buffer = io.BytesIO()
    shaped = np.repeat(tone[:, None], channels, axis=1)
    soundfile.write(buffer, shaped, rate, format=container, subtype=encoding)
    return buffer.getvalue()


def _wav(fmt_tag=1, *, channels=1, rate=24_000, bits=16, announced=None, body=b"\x00\x10" * 24_000):
    """A RIFF file whose header says whatever is wanted."""
    size = len(body) if announced is None else announced
    align = max(1, channels * bits // 8) & 0xFFFF
    shape = struct.pack("<HHIIHH", fmt_tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + shape + b"data" + struct.pack("<I", size)
    riff = struct.pack("<I", min(size + 36, 2**32 - 1))
    return b"RIFF" + riff + b"WAVE" + chunks + body


@pytest.fixture(scope="session")
def recording():
    """Makes the bytes of a sound file that holds a sine of 220 Hz."""
    return _recording


@pytest.fixture(scope="session")
def wav():
    return _wav


@pytest.fixture
async def reader():
    async with RecordingReader() as reader:
        yield reader


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Fail a test that leaves a process, dead or alive, or an open file."""
    here = psutil.Process()
    open_files = here.num_handles if sys.platform == "win32" else here.num_fds
    before, files = set(here.children()), open_files()
    yield
    assert set(here.children()) <= before
    assert open_files() <= files + 4  # the interpreter's own: a loop, a lazily opened module
