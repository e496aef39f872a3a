"""Imports ``qwen_tts`` without its unused dependencies and its output."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from storycore_tts.adapters.direct import failures

# Imported by qwen_tts for its 25 Hz tokenizer, which no published checkpoint uses.
_UNUSED = (
    "torchaudio",
    "torchaudio.compliance",
    "torchaudio.compliance.kaldi",
    "sox",
    "onnxruntime",
    "einops",
)
_log = logging.getLogger(__name__)
_importing_package = threading.Lock()


def load_package() -> Any:
    """Import ``qwen_tts`` and the packages that it needs to load a model.

    Raises:
        BackendUnavailable: A package cannot be imported; the message names it.
    """
    with _importing_package:
        for name in ("torch", "accelerate", "transformers"):
            with failures.importing(name):
                import_module(name)
        with failures.importing("qwen_tts"):
            if "qwen_tts" not in sys.modules:
                _register_default_rope()
                # transformers 5 warns about this for each model, but the setting is intended.
                warnings.filterwarnings("ignore", message="Passing `repetition_penalty`")
                with _stand_ins(), _own_prints_logged():
                    import_module("qwen_tts")
            return sys.modules["qwen_tts"]


@contextmanager
def without_bars() -> Iterator[None]:
    """Disable progress bars of transformers; progress is reported to the caller instead."""
    from transformers.utils import logging as transformers_logging

    drawn = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            transformers_logging.enable_progress_bar()


def rope_frequencies(config: Any, device: Any = None) -> Any:
    """Compute the frequencies of unscaled rotary position embeddings.

    Args:
        config: Config of a part of a model, of transformers 4 or 5, which store theta differently.
        device: Device of the result.

    Returns:
        float32, shape (head width / 2,).
    """
    import torch

    parameters = getattr(config, "rope_parameters", None) or {}
    theta = parameters.get("rope_theta") or config.rope_theta
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    exponents = torch.arange(0, width, 2, dtype=torch.int64).to(device=device, dtype=torch.float)
    return 1.0 / (theta ** (exponents / width))


def _register_default_rope() -> None:
    """Register the RoPE initializer "default", which ``qwen_tts`` uses but transformers 5 lacks."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    ROPE_INIT_FUNCTIONS.setdefault(
        "default", lambda config, device=None, **_: (rope_frequencies(config, device), 1.0)
    )


class _StandIn(ModuleType):
    """A module that delegates function calls to the real module, imported at the first call."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Required by importlib.util.find_spec, which transformers calls.
        self.__spec__ = ModuleSpec(name, loader=None)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **named: getattr(import_module(self.__name__), name)(*args, **named)


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Temporarily replace modules that are imported but not needed by stand-ins.

    Some of these packages do not load with every torch, and one runs a shell command.
    """
    put = {name: _StandIn(name) for name in _UNUSED if name not in sys.modules}
    for name, module in put.items():
        parent, _, child = name.rpartition(".")
        if parent in put:
            setattr(put[parent], child, module)
    sys.modules.update(put)
    try:
        yield
    finally:
        for name, module in put.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _OwnPrints(io.StringIO):
    """Captures the output of one thread; other threads still write to the original stdout."""

    def __init__(self) -> None:
        super().__init__()
        self._others = sys.stdout
        self._owner = threading.get_ident()

    def write(self, text: str) -> int:
        own = threading.get_ident() == self._owner
        return super().write(text) if own else self._others.write(text)


@contextmanager
def _own_prints_logged() -> Iterator[None]:
    """Log what a package prints during its import, at level DEBUG."""
    with redirect_stdout(_OwnPrints()) as printed:
        yield
    if output := " ".join(printed.getvalue().split()):
        _log.debug("Output of the import of qwen_tts: %s", output)
