"""Loads the networks of resemble-perth, and applies them to spectra.

The library's own entry points import torchaudio, librosa and pkg_resources, and become ``None``
without them. None of these is needed here: the networks work on levels of a spectrum, and torch
computes spectra. The results are the same, except that no samples are lost at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from pickle import UnpicklingError
from threading import Lock
from typing import Any

import numpy as np

from storycore_tts.errors import MarkingFailed
from storycore_tts.sound.samples import Samples

HOP = 0.01  # s between two columns of a spectrum

_VERSION = "1.0.1"  # the modules loaded here are private ones of this version
NAME = f"resemble-perth {_VERSION}"
HINT = "Run: pip install 'storycore-tts[watermark]'"

_WINDOW = 0.064  # s
_BANDS = 128  # of 15.625 Hz: the watermark is below 2 kHz
_HIDDEN = 256
_FLOOR, _RANGE = -180.0, 195.0  # dB; the networks see −180..15 dB as 0..1
_SCALE = 2048  # samples in a window at the rate that the networks were trained at
_ALIAS = "storycore_tts_perth_networks"
_loading = Lock()


def missing() -> str | None:
    """Return what is not installed; None: all is there. Imports nothing."""
    if find_spec("torch") is None:
        return "torch is not installed"
    try:
        version = _installed().version
    except PackageNotFoundError:
        return "resemble-perth is not installed"
    return None if version == _VERSION else f"resemble-perth is {version}, not {_VERSION}"


@dataclass(frozen=True)
class Networks:
    """The networks that hide and find the watermark; threads can share them.

    Args:
        encoder: Changes levels so that they carry the watermark.
        decoder: Returns about 1 for levels that carry it, about 0 for others.
    """

    encoder: Any
    decoder: Any

    def mark(self, samples: Samples, sample_rate: int) -> Samples:
        """Return what to add to samples, so that they carry the watermark.

        Args:
            samples: float32, shape (n,), −1..1.
            sample_rate: In Hz.

        Raises:
            MarkingFailed: There is not enough memory.
        """
        with _computing():
            spectrum = _Spectrum(sample_rate)
            values = spectrum.of(samples)
            levels = spectrum.levels(values)
            louder, _ = self.encoder(levels)
            gains = 10 ** ((louder - levels)[0, : len(values)] * (_RANGE / 20))
            return spectrum.samples(values * (gains - 1), len(samples))

    def score(self, samples: Samples, sample_rate: int) -> float:
        """Return how certainly samples carry the watermark, 0..1.

        Args:
            samples: float32, shape (n,), −1..1.
            sample_rate: In Hz.

        Raises:
            MarkingFailed: See ``mark``.
        """
        with _computing():
            spectrum = _Spectrum(sample_rate)
            found = float(self.decoder(spectrum.levels(spectrum.of(samples)))[0])
        return min(max(found, 0.0), 1.0) if found == found else 0.0  # NaN: digital silence


@contextmanager
def _computing() -> Iterator[None]:
    import torch

    try:
        with torch.inference_mode():
            yield
    except RuntimeError as error:  # torch's only error, which is about memory here
        raise MarkingFailed(f"The watermark cannot be computed: {error}") from error


@cache
def _loaded() -> Networks:
    try:
        folder = Path(str(_installed().locate_file("perth/perth_net")))
        encoder, decoder = _classes(folder / "perth_net_implicit")
        import torch

        weights = torch.load(
            folder / "pretrained" / "implicit" / "perth_net_250000.pth.tar",
            map_location="cpu",
            weights_only=True,
        )["model"]
        return Networks(
            _with_weights(encoder, weights, "encoder."), _with_weights(decoder, weights, "decoder.")
        )
    except (ImportError, OSError, RuntimeError, EOFError, KeyError, UnpicklingError) as error:
        raise MarkingFailed(
            f"The watermark's networks cannot be loaded: {error!r}.", hint=HINT
        ) from error


def load() -> Networks:
    """Return the networks, which are loaded once. Blocks.

    Raises:
        MarkingFailed: A package is not installed, or is damaged.
    """
    with _loading:
        return _loaded()


def _installed() -> Distribution:
    return distribution("resemble-perth")


def _classes(folder: Path) -> tuple[Any, Any]:
    """Import the library's two networks without the packages around them."""
    spec = spec_from_file_location(
        _ALIAS, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is not a package")
    sys.modules[_ALIAS] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    return (
        import_module(f"{_ALIAS}.model.encoder").Encoder,
        import_module(f"{_ALIAS}.model.decoder").Decoder,
    )


def _with_weights(network: Any, weights: dict[str, Any], prefix: str) -> Any:
    made = network(_HIDDEN, _BANDS)
    own = {name.removeprefix(prefix): it for name, it in weights.items() if name.startswith(prefix)}
    made.load_state_dict(own)
    return made.eval().requires_grad_(False)


class _Spectrum:
    """A spectrum over time in the networks' raster: 15.625 Hz by 10 ms, at any sample rate.

    Args:
        sample_rate: In Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        import torch

        self._size = round(sample_rate * _WINDOW)
        self._shape = {
            "n_fft": self._size,
            "hop_length": round(sample_rate * HOP),
            "window": torch.hann_window(self._size),
        }

    def of(self, samples: Samples) -> Any:
        import torch

        short = max(0, self._size - len(samples))
        padded = np.ascontiguousarray(np.pad(samples, (0, short)), np.float32)
        return torch.stft(torch.from_numpy(padded), return_complex=True, **self._shape)

    def levels(self, values: Any) -> Any:
        """Return levels as the networks see them, with at least as many bands as they need."""
        import torch

        loudness = 20 * torch.log10((values.abs() * (_SCALE / self._size)).clip(min=1e-9))
        levels = (loudness - _FLOOR) / _RANGE
        return torch.nn.functional.pad(levels, (0, 0, 0, max(0, _BANDS - len(levels))))[None]

    def samples(self, values: Any, count: int) -> Samples:
        import torch

        length = max(count, self._size)
        return np.asarray(torch.istft(values, length=length, **self._shape).numpy()[:count])
