"""Speech by espeak-ng, with a different voice for each speaker.

Samples are float32 arrays of shape (n,), −1..1, at 24 kHz as in Qwen3-TTS.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from storycore_tts.domain.languages import AUTO

if TYPE_CHECKING:
    from storycore_tts.adapters.draft.espeak import EspeakVoice

Samples = NDArray[np.float32]

SAMPLE_RATE = 24_000
"""Hz."""
TOKENS_PER_SECOND = 12.5
VARIANTS = ("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")


@dataclass(frozen=True)
class Audio:
    """A value of type AUDIO."""

    samples: Samples
    sample_rate: int = SAMPLE_RATE

    def __str__(self) -> str:
        # Error reports contain inputs; this is torch's format of a tensor.
        shown = ", ".join(f"{value: .4f}" for value in self.samples[:3])
        return f"{{'waveform': tensor([[[{shown},  ...]]]), 'sample_rate': {self.sample_rate}}}"

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class Speaking:
    """A speech request. The same values give the same samples."""

    text: str
    speaker: str
    language: str
    seed: int = 0
    instruct: str = ""
    character: str = ""
    """Anything that identifies a separate voice (hash of a reference, description); if set, it
    determines the voice instead of the speaker."""


def most_samples(max_new_tokens: int) -> int:
    """Return the number of samples at which the token budget truncates the audio."""
    return int(max_new_tokens / TOKENS_PER_SECOND * SAMPLE_RATE)


def speak(speaking: Speaking) -> Samples:
    """Generate speech. Blocks; call it from a worker thread."""
    # Imported here, so that instant mode does not require espeak-ng.
    from storycore_tts.adapters.draft import espeak

    samples, rate = espeak.speak(speaking.text, _voice(speaking))
    if not len(samples):
        return _murmur()
    resampled = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
    return np.clip(resampled, -1.0, 1.0)


def _voice(speaking: Speaking) -> EspeakVoice:
    from storycore_tts.adapters.draft.voices import SPEAKERS, language_by_script, voice_for

    spelling = {name.lower(): name for name in SPEAKERS}.get(speaking.speaker.lower())
    language = speaking.language
    if language == AUTO:
        language = language_by_script(speaking.text) or "English"
    voice = voice_for(spelling or SPEAKERS[0], language)
    if character := speaking.character or ("" if spelling else speaking.speaker):
        digest = _digest(character)
        base = voice.name.partition("+")[0]
        voice = replace(
            voice,
            name=f"{base}+{VARIANTS[digest[0] % len(VARIANTS)]}",
            pitch=25 + digest[1] % 60,
            words_per_minute=150 + digest[2] % 50,
        )
    if speaking.instruct:
        digest = _digest(speaking.instruct)
        voice = replace(
            voice,
            pitch=_within(voice.pitch + (-12, -6, 6, 12)[digest[0] % 4], 0, 99),
            words_per_minute=_within(voice.words_per_minute + (-35, 35)[digest[1] % 2], 80, 450),
        )
    # Seeds change the audio only slightly, so that the voice can still be recognized.
    turn = _digest(str(speaking.seed))
    return replace(
        voice,
        pitch=_within(voice.pitch + turn[0] % 5 - 2, 0, 99),
        words_per_minute=_within(voice.words_per_minute + turn[1] % 9 - 4, 80, 450),
    )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _within(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def _murmur() -> Samples:
    """Return a hum, for text without anything to pronounce, as the model does."""
    return tone(0.3, level=0.06)


def tone(seconds: float, hertz: float = 220.0, level: float = 0.3) -> Samples:
    """Return a sine wave with peak `level`, faded in and out over 10 ms."""
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    fade = np.minimum(1.0, np.minimum(times, seconds - times) / 0.01)
    wave = level * fade * np.sin(2 * np.pi * hertz * times)
    return np.asarray(wave, dtype=np.float32)


@lru_cache
def instant_audio() -> Audio:
    """Return the one-second tone of instant mode."""
    return Audio(tone(1.0))


@lru_cache
def instant_flac() -> bytes:
    """Return the tone of instant mode as FLAC; cached."""
    return encode(instant_audio(), "FLAC")


def encode(audio: Audio, form: str, comment: str = "") -> bytes:
    """Return the audio as a FLAC or WAV file with 16-bit PCM."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", samplerate=audio.sample_rate, channels=1, subtype="PCM_16", format=form
    ) as file:
        if comment:
            file.comment = comment
        file.write(audio.samples)
    return buffer.getvalue()


def decode(data: bytes) -> Audio:
    """Decode a file to mono; raises soundfile's error if it is invalid."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return Audio(np.asarray(samples.mean(axis=1), np.float32), rate)
