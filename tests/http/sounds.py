"""What is heard in a sound file: decoded by others than us, and measured."""

import io
from dataclasses import dataclass

import av
import numpy as np

from storycore_tts.sound.files import encode

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
TYPES = {kind: f"audio/{kind}" for kind in (*FORMATS, "ogg")}
TYPES |= {"mp3": "audio/mpeg", "opus": "audio/ogg; codecs=opus"}
RATES = dict.fromkeys(FORMATS, 24_000) | {"opus": 48_000}  # what opus decodes to, always
# The letters that a file begins with; of an mp3 and an aac, those of a tag or a frame.
BEGINNINGS = {
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3"),
    "opus": (b"OggS",),
    "ogg": (b"OggS",),
    "aac": (b"ID3", b"\xff\xf1"),
    "flac": (b"fLaC", b"ID3"),  # signed files begin with a tag
    "wav": (b"RIFF",),
}


@dataclass
class Sound:
    """Samples, mono, and how many of them make a second."""

    samples: np.ndarray
    rate: int

    @property
    def duration(self):
        return len(self.samples) / self.rate

    @property
    def peak(self):
        return float(np.abs(self.samples).max())

    @property
    def heard(self):
        """Seconds between the first and the last sample that is no silence."""
        loud = np.flatnonzero(np.abs(self.samples) > 0.02)
        return float(loud[-1] - loud[0]) / self.rate if len(loud) else 0.0

    @property
    def pitch(self):
        """Hz: the median over all moments in which a voice sounds."""
        length = self.rate // 20
        found = []
        for start in range(0, len(self.samples) - length, length // 2):
            frame = self.samples[start : start + length]
            if np.abs(frame).max() > 0.1:
                found += _period_of(frame - frame.mean(), self.rate)
        return float(np.median(found))


def _period_of(frame, rate):
    """Return the frequency by which a frame repeats itself, if it does."""
    again = np.correlate(frame, frame, "full")[len(frame) - 1 :]
    first, last = rate // 400, rate // 60
    lag = first + int(np.argmax(again[first:last]))
    return [rate / lag] if again[lag] > 0.5 * again[0] else []


def decoded(data, kind):
    """Decode a file that must be of the kind that was asked for."""
    if kind == "pcm":
        return Sound(np.frombuffer(data, "<i2") / 32_768, 24_000)
    assert data.startswith(BEGINNINGS[kind]), data[:8]
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [
            plain for frame in container.decode(audio=0) for plain in resampler.resample(frame)
        ]
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return Sound(samples, frames[0].sample_rate)


def recording(seconds=4.0, pitch=220.0, rate=24_000, loudness=0.4, suffix=".wav"):
    """A sound file of a tone that breathes, as a recording to clone."""
    times = np.arange(int(seconds * rate)) / rate
    breath = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * times)
    tone = loudness * np.sin(2 * np.pi * pitch * times) * breath
    return encode(tone.astype(np.float32), rate, suffix)
