"""What goes wrong in the model's libraries, as errors that say what to do."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from storycore_tts.domain.errors import (
    BackendUnavailable,
    GenerationFailed,
    OutOfMemory,
    RunawayGeneration,
    SilentAudio,
    TTSError,
)

BACKEND = "direct"
INSTALL = "pip install 'storycore-tts[direct]', with the build of torch for your GPU."

# What torch, transformers and safetensors raise when they fail: RuntimeError (CUDA and shapes),
# OSError (files, the network), the rest for checkpoints that are not what their config says.
_LIBRARY_ERRORS = (
    RuntimeError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    MemoryError,
)
_NO_MEMORY = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Translate what fails while a model is loaded; ``model`` is its name, for messages."""
    try:
        with _damage_named():
            yield
    except ImportError as error:
        raise missing_package(error) from error
    except _LIBRARY_ERRORS as error:
        if _is_out_of_memory(error):
            raise _out_of_memory(f"No memory is left to load {model}.", error) from error
        raise BackendUnavailable(
            f"Cannot load {model}: {_first_line(error)}",
            hint="Is the download complete? The folder needs config.json, model.safetensors and "
            "speech_tokenizer/. tts.qwen.direct.models names another one.",
            backend=BACKEND,
            retryable=False,
        ) from error


@contextmanager
def _damage_named() -> Iterator[None]:
    """Raise as an OSError what safetensors says of damaged weights: its error is of no kind."""
    try:
        from safetensors import SafetensorError
    except ImportError:  # nor is torch there, most likely: that is what shall be told
        yield
        return
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"the weights are damaged: {error}") from error


@contextmanager
def generating(model: str, lines: int) -> Iterator[None]:
    """Translate what fails while ``model`` speaks so many lines at once."""
    try:
        yield
    except _LIBRARY_ERRORS as error:
        if _is_out_of_memory(error):
            told = f"{model} ran out of memory while it spoke {lines} line(s) at once."
            raise _out_of_memory(told, error) from error
        raise GenerationFailed(
            f"{model} failed: {_first_line(error)}",
            exception_type=type(error).__name__,
            hint="Check the versions of qwen-tts, torch and transformers.",
            backend=BACKEND,
        ) from error


def missing_package(error: ImportError) -> BackendUnavailable:
    """Say which package the direct backend misses."""
    return BackendUnavailable(
        f"The direct backend needs a package that cannot be imported: {error}.",
        hint=INSTALL,
        backend=BACKEND,
        retryable=False,
    )


def closed() -> BackendUnavailable:
    """Say that nobody works here any more."""
    return BackendUnavailable("The direct adapter is closed.", backend=BACKEND, retryable=False)


def runaway(seconds: float, tokens: int) -> RunawayGeneration:
    """Say that a line ran into its budget of ``tokens``, after ``seconds`` of audio."""
    return RunawayGeneration(
        f"The model did not stop speaking: {seconds:.1f} s of audio fill the budget of {tokens} "
        "tokens.",
        partial_duration=seconds,
        hint="Ask again with another seed; about one generation in two hundred does this.",
        backend=BACKEND,
        retryable=False,  # a line without a seed of its own had its second try already
    )


def silence(seconds: float) -> SilentAudio:
    """Say that a line came out silent."""
    return SilentAudio(
        f"The model made {seconds:.1f} s of silence.",
        hint="Ask again; if it stays silent, check the versions of torch and transformers, and "
        "try tts.qwen.precision: fp32.",
        backend=BACKEND,
    )


def _is_out_of_memory(error: BaseException) -> bool:
    told = str(error).casefold()
    return isinstance(error, MemoryError) or any(phrase in told for phrase in _NO_MEMORY)


def _out_of_memory(message: str, error: BaseException) -> TTSError:
    # Whoever keeps the error would keep the tensors that its frames hold, gigabytes of them.
    traceback.clear_frames(error.__traceback__)
    return OutOfMemory(
        message,
        exception_type=type(error).__name__,
        hint="Lower tts.qwen.direct.max_batch_size or max_loaded_models, split the text, or choose "
        "model_choice 0.6B.",
        backend=BACKEND,
    )


def _first_line(error: BaseException) -> str:
    told = str(error).strip().splitlines()
    return f"{type(error).__name__}: {told[0] if told else 'no message'}"
