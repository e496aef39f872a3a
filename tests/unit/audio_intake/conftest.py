import io
import struct
import sys

import av
import numpy as np
import psutil
import pytest
import soundfile

from storycore_tts.adapters.audio_intake import RecordingReader

FFMPEG = {
    # name -> FFmpeg's muxer, encoder, rate
    "m4a": ("ipod", "aac", 44_100),
    "mp4": ("mp4", "aac", 24_000),
    "m4a, lossless": ("ipod", "alac", 24_000),
    "aac": ("adts", "aac", 24_000),
    "m4a, its header first": ("ipod", "aac", 24_000),
    "webm": ("webm", "libopus", 48_000),
}


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
def recorded(tmp_path_factory):
    """Encodes a sine of 220 Hz as phones and browsers do."""

    def make(kind, *, seconds=1.0, channels=1):
        container, codec, rate = FFMPEG[kind]
        time = np.arange(int(seconds * rate)) / rate
        tone = (0.5 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
        layout, path = (
            {1: "mono", 2: "stereo"}[channels],
            tmp_path_factory.mktemp("recorded") / "it",
        )
        options = {"movflags": "faststart"} if "first" in kind else {}
        with av.open(str(path), "w", format=container, options=options) as file:
            stream = file.add_stream(codec, rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(np.tile(tone, (channels, 1)), "fltp", layout)
            frame.sample_rate = rate
            fitted = av.AudioResampler(stream.format, layout, rate)
            for one in [*fitted.resample(frame), *fitted.resample(None), None]:
                file.mux(stream.encode(one))
        return path.read_bytes()

    return make


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
