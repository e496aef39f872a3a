"""Renders speech: file format, speed and pitch, and a notice in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from storycore_tts.domain.disclosure import Disclosure
from storycore_tts.domain.jobs import Outcome
from storycore_tts.domain.provenance import GENERATOR
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest, check_range
from storycore_tts.ports.marking import WatermarkStream
from storycore_tts.services.disclosure import disclosed
from storycore_tts.sound.files import FORMATS, check_suffix
from storycore_tts.sound.pace import Changer
from storycore_tts.sound.samples import SAMPLE_RATE, Samples
from storycore_tts.sound.stream_encoder import StreamEncoder
from storycore_tts.sound.tags import Tags


@dataclass(frozen=True)
class Rendering:
    """Output format, speed and pitch of speech.

    Args:
        format: "wav", "flac", "mp3", "ogg", "opus", "aac", "m4a" or "pcm".
        speed: Speed factor, 0.25..4, at the same pitch; 1 changes nothing.
        pitch: Shift in semitones, −12..12, at the same speed; 0 changes nothing.
        disclosure: The notice in front of the speech; None: there is none.

    Raises:
        InvalidRequest: The format is unknown, a value is out of range, or a required extra is not
            installed.
    """

    format: str = "wav"
    speed: float = 1.0
    pitch: float = 0.0
    disclosure: Disclosure | None = None

    def __post_init__(self) -> None:
        if self.suffix not in FORMATS:
            known = ", ".join(suffix.removeprefix(".") for suffix in FORMATS)
            raise InvalidRequest(f"The format {self.format!r} is unknown.", hint=f"One of {known}.")
        check_suffix(f"audio{self.suffix}")
        check_range("speed", self.speed, 0.25, 4)
        check_range("pitch", self.pitch, -12, 12)

    @property
    def suffix(self) -> str:
        """File name suffix, such as ".wav"."""
        return f".{self.format}"

    @property
    def media_type(self) -> str:
        """Media type of the format."""
        return FORMATS[self.suffix].media_type

    @property
    def changes_samples(self) -> bool:
        """Whether speed or pitch changes the samples."""
        return self.speed != 1.0 or self.pitch != 0.0

    def rendered(self, speech: Speech) -> Speech:
        """Return the speech at this speed and pitch; blocks while it works."""
        if self.speed != 1.0:
            speech = speech.stretched(self.speed)
        if self.pitch != 0.0:
            speech = speech.pitched(self.pitch)
        return speech

    def applied(self, speech: Speech, notice: Speech | None = None) -> Outcome:
        """Return the audio file and its details; blocks while it works.

        Args:
            speech: The speech.
            notice: The spoken notice in front of it, whose speed and pitch do not change.
        """
        speech = self.rendered(speech)
        if notice is not None:
            speech = disclosed(speech, notice)
        return Outcome(facts(speech), self.encode(speech), self.media_type)

    def encode(self, speech: Speech) -> bytes:
        """Return the encoded audio file; blocks while it works."""
        return speech.encode(self.suffix)


class JoinableRendering(Rendering):
    """A rendering whose .mp3 files can be concatenated: they have no index with the duration.

    Clients join the files of several lines end to end, and players trust the first file's index.
    """

    def encode(self, speech: Speech) -> bytes:
        """See ``Rendering.encode``; an .mp3 needs the extra ``media``."""
        return speech.encode(self.suffix, joinable=True)


class RenderedStream:
    """Renders streamed speech, chunk by chunk.

    Args:
        rendering: Format, speed and pitch.
        sample_rate: Sample rate of the speech, in Hz.

    Raises:
        InvalidRequest: The format cannot be streamed, or a required extra is not installed.
    """

    def __init__(self, rendering: Rendering, sample_rate: int = SAMPLE_RATE) -> None:
        self._changer = Changer(sample_rate, speed=rendering.speed, semitones=rendering.pitch)
        self._encoder = StreamEncoder(rendering.suffix, sample_rate)
        self._rate = sample_rate
        self._samples = 0  # encoded, but not yet reported
        self._hash = sha256()
        self._watermark: WatermarkStream | None = None

    @property
    def sha256(self) -> str:
        """Hash of the bytes returned so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def tag(self, tags: Tags | None) -> None:
        """Let the file say this of itself; None: nothing. Call it before ``feed``."""
        if tags is not None:
            self._encoder.tag(tags)

    def watermark(self, stream: WatermarkStream | None) -> None:
        """Hide this watermark in the speech; None: none. Call it before ``feed``."""
        self._watermark = stream

    def feed(self, samples: Samples) -> tuple[bytes, float]:
        """Return the encoded bytes that are ready (possibly none) and their duration in seconds."""
        return self._given(self._encoded(self._changer.feed(samples)))

    def finish(self) -> tuple[bytes, float]:
        """Return the remaining bytes and their duration in seconds, and end the stream."""
        rest = self._encoded(self._changer.finish())
        if self._watermark is not None:
            last, self._watermark = self._watermark.finish(), None
            rest += self._encoded(last)
        return self._given(rest + self._encoder.finish())

    def _encoded(self, samples: Samples) -> bytes:
        if self._watermark is not None:
            samples = self._watermark.feed(samples)
        self._samples += len(samples)
        return self._encoder.feed(samples)

    def _given(self, data: bytes) -> tuple[bytes, float]:
        if not data:
            return data, 0.0
        self._hash.update(data)
        seconds, self._samples = self._samples / self._rate, 0
        return data, seconds


def facts(speech: Speech) -> dict[str, Any]:
    """Return the metadata of speech, as JSON; durations in seconds."""
    return {
        "duration": round(speech.duration, 4),
        "sample_rate": speech.sample_rate,
        "backend": speech.backend,
        "model": speech.model,
        "speaker": speech.speaker,
        "language": speech.language,
        "seed": speech.seed,
        "x_vector_only": speech.x_vector_only,
        "source_type": speech.source_type,
        "generator": GENERATOR,
        "queued_seconds": round(speech.timings.queued, 4),
        "generating_seconds": round(speech.timings.generating, 4),
        "warnings": list(speech.warnings),
        "disclosure": speech.notice and speech.notice.to_json(),
    }
