"""FFmpeg encoders and audio filters in this process, through PyAV (the extra ``media``).

PyAV is imported on first use. All calls block: from an event loop, call them in a thread. FFmpeg
releases the GIL while it works.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.samples import Samples

_LAYOUT = "mono"


def pyav(purpose: str) -> ModuleType:
    """Return the package ``av``.

    Args:
        purpose: What needs it, for the error message: "Encoding .aac".

    Raises:
        InvalidRequest: PyAV is not installed.
    """
    try:
        import av
        import av.filter
    except ImportError:
        raise InvalidRequest(
            f"{purpose} needs FFmpeg, and the package av is not installed.",
            hint="Run: pip install 'storycore-tts[media]'",
        ) from None
    return av


@dataclass(frozen=True)
class FFmpegFormat:
    """A file format of FFmpeg.

    Args:
        container: FFmpeg's name of the container ("adts", "ogg").
        codec: FFmpeg's name of the encoder ("aac", "libopus").
        bit_rate: Bit rate in bit/s; 0 if the codec has none.
        options: Options of the container.
        seeks: Whether the beginning is written last, so that the file does not stream.
    """

    container: str
    codec: str
    bit_rate: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    seeks: bool = False


class FFmpegEncoder:
    """Encodes mono samples incrementally.

    Args:
        form: The file format.
        sample_rate: Sample rate of the samples in Hz.

    Raises:
        InvalidRequest: PyAV is not installed, or the codec does not support the sample rate.
    """

    def __init__(self, form: FFmpegFormat, sample_rate: int) -> None:
        self._av = pyav(f"Encoding {form.codec}")
        rates = self._av.Codec(form.codec, "w").audio_rates
        if rates and sample_rate not in rates:
            raise unfit_rate(form.codec, sample_rate)
        self._sink = _WholeFile() if form.seeks else _Stream()
        self._file = self._av.open(
            self._sink, "w", format=form.container, options=dict(form.options)
        )
        self._stream = self._file.add_stream(form.codec, rate=sample_rate, layout=_LAYOUT)
        if form.bit_rate:
            self._stream.bit_rate = form.bit_rate
        self._rate = sample_rate
        self._samples = 0  # samples fed so far

    def tag(self, fields: Mapping[str, str]) -> None:
        """Add metadata by FFmpeg's names; call it before ``feed``."""
        self._file.metadata.update(fields)

    def feed(self, samples: np.ndarray[Any, Any]) -> bytes:
        """Encode float32 or int16 samples; return the bytes that are ready, possibly none."""
        if len(samples):
            frame = _frame(self._av, samples, self._rate)
            frame.pts, self._samples = self._samples, self._samples + len(samples)
            self._file.mux(self._stream.encode(frame))
        return self._sink.taken()

    def finish(self) -> bytes:
        """Return the rest of the file. Do not call ``feed`` afterwards."""
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._sink.rest()


class FFmpegFilter:
    """Applies a chain of audio filters to mono samples incrementally.

    Args:
        sample_rate: Sample rate of input and output in Hz.
        filters: Names and arguments of the filters, in FFmpeg's syntax.

    Raises:
        InvalidRequest: PyAV is not installed.
    """

    def __init__(self, sample_rate: int, filters: Iterable[tuple[str, str]]) -> None:
        self._av = pyav("Changing pace or pitch")
        self._rate = sample_rate
        self._graph = self._av.filter.Graph()
        shape = f"sample_fmts=flt:channel_layouts={_LAYOUT}:sample_rates={sample_rate}"
        nodes = [
            self._graph.add_abuffer(sample_rate=sample_rate, format="flt", layout=_LAYOUT),
            *(self._graph.add(name, arguments) for name, arguments in filters),
            self._graph.add("aformat", shape),
            self._graph.add("abuffersink"),
        ]
        self._graph.link_nodes(*nodes).configure()

    def feed(self, samples: Samples) -> Samples:
        """Filter float32 samples; return the samples that are ready, possibly none."""
        if len(samples):
            self._graph.push(_frame(self._av, samples, self._rate))
        return self._pulled()

    def finish(self) -> Samples:
        """Return the remaining samples. Do not call ``feed`` afterwards."""
        self._graph.push(None)
        return self._pulled()

    def _pulled(self) -> Samples:
        blocks: list[Samples] = [np.zeros(0, np.float32)]
        try:
            while True:
                blocks.append(self._graph.pull().to_ndarray()[0])
        except (self._av.error.BlockingIOError, self._av.error.EOFError):
            return np.concatenate(blocks)  # the filter needs more input, or has ended


def filtered(samples: Samples, sample_rate: int, filters: Iterable[tuple[str, str]]) -> Samples:
    """Apply FFmpeg's audio filters to all samples at once; see ``FFmpegFilter``."""
    graph = FFmpegFilter(sample_rate, filters)
    return np.concatenate([graph.feed(samples), graph.finish()])


def unfit_rate(codec: str, sample_rate: int) -> InvalidRequest:
    """Return the error for a sample rate that a codec does not support."""
    return InvalidRequest(
        f"Cannot encode {codec} at {sample_rate} Hz.",
        hint="Resample to 24000 Hz, which every format takes; or use wav or flac.",
    )


class _Stream:
    """A file that FFmpeg writes to and cannot seek in, so that bytes once taken never change."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        """Return the bytes written since the last call."""
        taken = bytes(self._written)
        self._written.clear()
        return taken

    def rest(self) -> bytes:
        """Return the bytes written since the last call; the file is complete."""
        return self.taken()


class _WholeFile(io.BytesIO):
    """A file that FFmpeg seeks in, so that it can be taken only when it is complete."""

    def taken(self) -> bytes:
        """Return no bytes yet."""
        return b""

    def rest(self) -> bytes:
        """Return the complete file."""
        return self.getvalue()


def _frame(av: ModuleType, samples: np.ndarray[Any, Any], sample_rate: int) -> Any:
    kind = "s16" if samples.dtype == np.int16 else "flt"
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples)[None], format=kind, layout=_LAYOUT
    )
    frame.sample_rate = sample_rate
    frame.time_base = Fraction(1, sample_rate)
    return frame
