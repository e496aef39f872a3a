"""Converts errors of the model's libraries to errors with hints."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from storycore_tts.adapters.direct.installed import INSTALL, Installed
from storycore_tts.errors import (
    BackendUnavailable,
    GenerationFailed,
    OutOfMemory,
    RunawayGeneration,
    TTSError,
)

BACKEND = "direct"

# Errors of torch, transformers and safetensors: RuntimeError (CUDA, shapes), OSError (files,
# network), others for checkpoints that do not match their config.
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
    "Check that the download is complete: the folder must contain config.json, model.safetensors "
    "and speech_tokenizer/. To use another folder, set tts.qwen.direct.models."
)
# CUDA errors after which every call in the process fails.
_LOST = (
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "device is lost",
)
_NO_MEMORY = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Convert errors that occur while a model is loaded; ``model`` is its name, for messages."""
    try:
        with _damage_named():
            yield
    except ImportError as error:
        raise cannot_import(model, error) from error
    except _LIBRARY_ERRORS as error:
        _raise_if_lost(error)
        if _is_out_of_memory(error):
            raise _out_of_memory(f"Out of memory while loading {model}.", error) from error
        raise BackendUnavailable(
            f"Cannot load {model}: {_first_line(error)}",
            hint=str(Installed.here().misfit() or _INCOMPLETE),
            backend=BACKEND,
            retryable=False,
        ) from error


@contextmanager
def _damage_named() -> Iterator[None]:
    """Convert safetensors' error for damaged weights, a plain Exception, to an OSError."""
    try:
        from safetensors import SafetensorError
    except ImportError:  # then torch is most likely missing, too, and will be reported
        yield
        return
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"the weights are damaged: {error}") from error


@contextmanager
def device_watched() -> Iterator[None]:
    """Convert errors after which the GPU is unusable in this process; pass on others."""
    try:
        yield
    except RuntimeError as error:
        _raise_if_lost(error)
        raise


@contextmanager
def generating(model: str, lines: int) -> Iterator[None]:
    """Convert errors that occur while ``model`` generates a batch of ``lines`` lines."""
    try:
        yield
    except _LIBRARY_ERRORS as error:
        _raise_if_lost(error)
        if _is_out_of_memory(error):
            message = f"{model} ran out of memory while generating {lines} line(s) at once."
            raise _out_of_memory(message, error) from error
        raise GenerationFailed(
            f"{model} failed: {_first_line(error)}",
            exception_type=type(error).__name__,
            hint="Check the versions of qwen-tts, torch and transformers.",
            backend=BACKEND,
        ) from error


@contextmanager
def importing(package: str) -> Iterator[None]:
    """Convert errors that occur while a package is imported. ``package`` is its name.

    Raises:
        BackendUnavailable: The package cannot be imported.
    """
    try:
        yield
    except (ImportError, *_LIBRARY_ERRORS) as error:
        raise cannot_import(package, error) from error


def cannot_import(name: str, error: Exception) -> BackendUnavailable:
    """Return the error for a package that cannot be imported.

    Args:
        name: Name of the package, or of the model that needs it.
        error: The error of the import.
    """
    culprit, module = _culprit(name, error)
    needed = "" if culprit == name else f", which {name} needs"
    folder, misfit = _shadow(module), Installed.here().misfit()
    if folder:
        hint = f"{folder} shadows the package {culprit}: rename it, or use another working folder."
    elif isinstance(error, ModuleNotFoundError):
        hint = f"Install {culprit}, or all requirements: {INSTALL}"
    else:
        hint = str(misfit or f"Install compatible versions: {INSTALL}")
    return BackendUnavailable(
        f"The direct backend cannot import {culprit}{needed}: {_first_line(error)}.",
        hint=hint,
        backend=BACKEND,
        retryable=False,
    )


def _culprit(name: str, error: Exception) -> tuple[str, ModuleType | None]:
    """Return the package that fails, and the incomplete module, if known."""
    if isinstance(error, ImportError) and error.name:
        return error.name.partition(".")[0], sys.modules.get(error.name)
    module = error.obj if isinstance(error, AttributeError) else None
    if isinstance(module, ModuleType):
        return module.__name__.partition(".")[0], module
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    modules = [frame for frame in frames if frame.f_code.co_name == "<module>"]
    return (modules[-1].f_globals["__name__"].partition(".")[0] if modules else name), None


def _shadow(module: ModuleType | None) -> Path | None:
    """Return the file or folder in the working directory from which a module was loaded, if any."""
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
    """Return the error for a closed adapter."""
    return BackendUnavailable("The direct adapter is closed.", backend=BACKEND, retryable=False)


class DeviceLost(BackendUnavailable):
    """A GPU kernel has failed; the GPU is unusable until the process is restarted."""


def runaway(seconds: float, tokens: int) -> RunawayGeneration:
    """Return the error for a line that used up its budget of ``tokens`` (``seconds`` of audio)."""
    return RunawayGeneration(
        f"The model did not stop speaking: {seconds:.1f} s of audio fill the budget of {tokens} "
        "tokens.",
        partial_duration=seconds,
        hint="Retry with another seed; this affects about one generation in 200.",
        backend=BACKEND,
        retryable=False,  # lines without a given seed were already retried
    )


def _raise_if_lost(error: BaseException) -> None:
    message = str(error).casefold()
    if any(phrase in message for phrase in _LOST):
        raise DeviceLost(
            f"The GPU has failed and can no longer be used by this process: {_first_line(error)}.",
            hint="Restart the program. If this happens again with the same request, try "
            "tts.qwen.precision: fp32, and CUDA_LAUNCH_BLOCKING=1 to find the cause.",
            backend=BACKEND,
            retryable=False,
        ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    message = str(error).casefold()
    return isinstance(error, MemoryError) or any(phrase in message for phrase in _NO_MEMORY)


def _out_of_memory(message: str, error: BaseException) -> TTSError:
    # The frames refer to gigabytes of tensors, which must not live as long as the error.
    traceback.clear_frames(error.__traceback__)
    return OutOfMemory(
        message,
        exception_type=type(error).__name__,
        hint="Lower tts.qwen.direct.max_batch_size or max_loaded_models, split the text, or use "
        "model_choice 0.6B.",
        backend=BACKEND,
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
