"""What goes wrong in the model's libraries, as errors that say what to do."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from storycore_tts.adapters.direct.installed import INSTALL, Installed
from storycore_tts.domain.errors import (
    BackendUnavailable,
    GenerationFailed,
    OutOfMemory,
    RunawayGeneration,
    TTSError,
)

BACKEND = "direct"

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
_INCOMPLETE = (
    "Is the download complete? The folder needs config.json, model.safetensors and "
    "speech_tokenizer/. tts.qwen.direct.models names another one."
)
# What ends CUDA in a process: each call after it fails too.
_LOST = (
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "device is lost",
)
_NO_MEMORY = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Translate what fails while a model is loaded; ``model`` is its name, for messages."""
    try:
        with _damage_named():
            yield
    except ImportError as error:
        raise cannot_import(model, error) from error
    except _LIBRARY_ERRORS as error:
        _raise_if_lost(error)
        if _is_out_of_memory(error):
            raise _out_of_memory(f"No memory is left to load {model}.", error) from error
        raise BackendUnavailable(
            f"Cannot load {model}: {_first_line(error)}",
            hint=str(Installed.here().misfit() or _INCOMPLETE),
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
def device_watched() -> Iterator[None]:
    """Name what ends the GPU for this process, and let everything else through."""
    try:
        yield
    except RuntimeError as error:
        _raise_if_lost(error)
        raise


@contextmanager
def generating(model: str, lines: int) -> Iterator[None]:
    """Translate what fails while ``model`` speaks so many lines at once."""
    try:
        yield
    except _LIBRARY_ERRORS as error:
        _raise_if_lost(error)
        if _is_out_of_memory(error):
            told = f"{model} ran out of memory while it spoke {lines} line(s) at once."
            raise _out_of_memory(told, error) from error
        raise GenerationFailed(
            f"{model} failed: {_first_line(error)}",
            exception_type=type(error).__name__,
            hint="Check the versions of qwen-tts, torch and transformers.",
            backend=BACKEND,
        ) from error


@contextmanager
def importing(package: str) -> Iterator[None]:
    """Turn whatever keeps a package from being imported into an error that names it.

    Raises:
        BackendUnavailable: It cannot be imported.
    """
    try:
        yield
    except (ImportError, *_LIBRARY_ERRORS) as error:
        raise cannot_import(package, error) from error


def cannot_import(name: str, error: Exception) -> BackendUnavailable:
    """Say which package could not be imported, and what to do.

    Args:
        name: What was to be imported, or loaded.
        error: What its import raised.
    """
    culprit, module = _culprit(name, error)
    needed = "" if culprit == name else f", which {name} needs"
    folder, misfit = _shadow(module), Installed.here().misfit()
    if folder:
        hint = f"The folder {folder} hides the package {culprit}: rename it, or work elsewhere."
    elif isinstance(error, ModuleNotFoundError):
        hint = f"Install {culprit}, or all that is needed: {INSTALL}"
    else:
        hint = str(misfit or f"Install what fits together: {INSTALL}")
    return BackendUnavailable(
        f"The direct backend cannot import {culprit}{needed}: {_first_line(error)}.",
        hint=hint,
        backend=BACKEND,
        retryable=False,
    )


def _culprit(name: str, error: Exception) -> tuple[str, ModuleType | None]:
    """Return the package that fails, and the module in which something is missing, if known."""
    if isinstance(error, ImportError) and error.name:
        return error.name.partition(".")[0], sys.modules.get(error.name)
    module = error.obj if isinstance(error, AttributeError) else None
    if isinstance(module, ModuleType):
        return module.__name__.partition(".")[0], module
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    modules = [frame for frame in frames if frame.f_code.co_name == "<module>"]
    return (modules[-1].f_globals["__name__"].partition(".")[0] if modules else name), None


def _shadow(module: ModuleType | None) -> Path | None:
    """Return the folder or file in the working directory that a module was taken from, if any."""
    if module is None:
        return None
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    file = getattr(top, "__file__", None)
    for place in map(Path, [file] if file else getattr(top, "__path__", ())):
        found = place.parent if place.name == "__init__.py" else place
        if found.resolve().parent == Path.cwd():
            return found
    return None


def closed() -> BackendUnavailable:
    """Say that nobody works here any more."""
    return BackendUnavailable("The direct adapter is closed.", backend=BACKEND, retryable=False)


class DeviceLost(BackendUnavailable):
    """A kernel on the GPU has failed; nothing runs there any more until the process ends."""


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


def _raise_if_lost(error: BaseException) -> None:
    told = str(error).casefold()
    if any(phrase in told for phrase in _LOST):
        raise DeviceLost(
            f"The GPU has failed, and this process cannot use it any more: {_first_line(error)}.",
            hint="Start the program again. If it happens again with the same request, try "
            "tts.qwen.precision: fp32, and CUDA_LAUNCH_BLOCKING=1 to see where.",
            backend=BACKEND,
            retryable=False,
        ) from error


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
