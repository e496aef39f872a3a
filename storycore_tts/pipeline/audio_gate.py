"""Validates the audio of all adapters, including third-party ones, in one place."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

import numpy as np

from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.domain.text import TOKENS_PER_SECOND
from storycore_tts.errors import GenerationFailed, RunawayGeneration, SilentAudio
from storycore_tts.ports import SpeechChunk
from storycore_tts.sound.samples import SAMPLE_RATE, Samples, is_silent

Result = TypeVar("Result")


def checked(result: Result, request: object) -> Result:
    """Return a result if its audio is valid; results without audio always pass.

    Args:
        result: The adapter's result.
        request: The request.

    Raises:
        GenerationFailed: The result of a line is not a ``Speech``, or its samples do not have the
            shape, type and rate that ``Speech`` requires, or are not finite.
        SilentAudio: There are no samples, or all are silent.
        RunawayGeneration: The audio fills the token budget: the model never stopped.
    """
    if isinstance(request, SpeechRequest | CloneRequest):
        _check_type(result, Speech)
    if isinstance(result, Speech):
        _check_samples(result.samples, result.sample_rate, result.backend)
        limit = _limit(result.seed, request) if result.cutoff is None else result.cutoff
        _check_length(result.duration, limit, result.backend)
        if is_silent(result.samples):
            raise _silence(result.duration, result.backend)
    return result


class StreamGate:
    """Validates a stream: each chunk as it passes, and at the end whether all of it was silent.

    Use it as a context manager around the stream.

    Args:
        request: The request.
    """

    def __init__(self, request: object) -> None:
        self._request = request
        self._seconds, self._audible, self._backend = 0.0, False, ""

    def __call__(self, chunk: SpeechChunk) -> SpeechChunk:
        """Return the chunk if it is valid; raise as ``checked`` does, except for silence."""
        _check_type(chunk, SpeechChunk)
        self._backend = chunk.backend
        _check_samples(chunk.samples, chunk.sample_rate, chunk.backend)
        self._seconds += chunk.duration
        self._audible = self._audible or not is_silent(chunk.samples)
        _check_length(self._seconds, _limit(chunk.seed, self._request), chunk.backend)
        return chunk

    def __enter__(self) -> StreamGate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self._audible:
            raise _silence(self._seconds, self._backend)


def _limit(seed: int | None, request: object) -> float | None:
    """Return the seconds that fill the token budget; None without a seed, hence without tokens."""
    tokens = getattr(request, "token_budget", None)
    if seed is None or tokens is None:
        return None
    return float((tokens - 1) / TOKENS_PER_SECOND)  # the last token produces no frame


def _check_type(result: object, wanted: type) -> None:
    if not isinstance(result, wanted):  # unchecked in third-party adapters
        raise _malformed(f"{type(result).__name__} instead of {wanted.__name__}", "")


def _check_samples(samples: Samples, sample_rate: int, backend: str) -> None:
    kind = getattr(samples, "dtype", type(samples).__name__)  # unchecked in third-party adapters
    if kind != np.float32 or np.ndim(samples) != 1:
        found = f"samples of type {kind} and shape {np.shape(samples)}"
        raise _malformed(f"{found} instead of float32 and (n,)", backend)
    if sample_rate != SAMPLE_RATE:
        raise _malformed(f"audio at {sample_rate} Hz instead of {SAMPLE_RATE} Hz", backend)
    if not np.isfinite(samples).all():
        raise GenerationFailed(
            f"{_named(backend)} delivered samples that are not numbers (NaN or infinite).",
            hint="Try tts.qwen.precision: fp32, and check the versions that doctor lists.",
            backend=backend or None,
        )


def _check_length(seconds: float, limit: float | None, backend: str) -> None:
    if limit is not None and seconds >= limit:
        raise RunawayGeneration(
            f"The model did not stop speaking: {seconds:.1f} s of audio fill the token budget.",
            partial_duration=seconds,
            hint="Ask again with another seed; about one generation in two hundred does this.",
            backend=backend or None,
        )


def _silence(seconds: float, backend: str) -> SilentAudio:
    return SilentAudio(
        f"{_named(backend)} delivered {seconds:.1f} s of silence.",
        hint="Ask again; if it stays silent, check the versions of torch and transformers there, "
        "and try tts.qwen.precision: fp32.",
        backend=backend or None,
    )


def _malformed(what: str, backend: str) -> GenerationFailed:
    return GenerationFailed(
        f"{_named(backend)} delivered {what}.",
        hint="This is a bug of the adapter; storycore_tts.testing.contract tests for it.",
        backend=backend or None,
    )


def _named(backend: str) -> str:
    return {"comfyui": "ComfyUI", "": "The backend"}.get(backend, f"The backend {backend!r}")
