"""``qwen_tts`` imported: without what it imports and never uses, and without what it prints."""

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

# qwen_tts imports them for its 25 Hz tokenizer, which no published checkpoint uses.
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
    """Import ``qwen_tts``, and what it does not need until a model is loaded.

    Raises:
        BackendUnavailable: A package cannot be imported; it is named.
    """
    with _importing_package:
        for name in ("torch", "accelerate", "transformers"):
            with failures.importing(name):
                import_module(name)
        with failures.importing("qwen_tts"):
            if "qwen_tts" not in sys.modules:
                _register_default_rope()
                # transformers 5 says so at every model's first line; it is as the model wants it.
                warnings.filterwarnings("ignore", message="Passing `repetition_penalty`")
                with _stand_ins(), _own_prints_logged():
                    import_module("qwen_tts")
            return sys.modules["qwen_tts"]


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars meanwhile; the caller hears of it otherwise."""
    from transformers.utils import logging as transformers_logging

    drawn = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            transformers_logging.enable_progress_bar()


def rope_frequencies(config: Any, device: Any = None) -> Any:
    """Compute the frequencies of rotary position embeddings that are not scaled.

    Args:
        config: A part of a model's; theta is where either line of transformers keeps it.
        device: Where to put them.

    Returns:
        float32, shape (half of a head's width,).
    """
    import torch

    parameters = getattr(config, "rope_parameters", None) or {}
    theta = parameters.get("rope_theta") or config.rope_theta
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    exponents = torch.arange(0, width, 2, dtype=torch.int64).to(device=device, dtype=torch.float)
    return 1.0 / (theta ** (exponents / width))


def _register_default_rope() -> None:
    """Give transformers 5 back the initialiser that ``qwen_tts`` looks up by the name "default"."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    ROPE_INIT_FUNCTIONS.setdefault(
        "default", lambda config, device=None, **_: (rope_frequencies(config, device), 1.0)
    )


class _StandIn(ModuleType):
    """A module whose functions are looked up in the real one when they are called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Without a spec, importlib.util.find_spec raises, and transformers asks it.
        self.__spec__ = ModuleSpec(name, loader=None)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **named: getattr(import_module(self.__name__), name)(*args, **named)


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Put stand-ins in the place of modules that are imported and not needed, for a while.

    Some of these packages do not load beside every torch, and one asks the shell for a program.
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
    """Takes what this thread prints; what others print goes where it would have gone."""

    def __init__(self) -> None:
        super().__init__()
        self._others = sys.stdout
        self._owner = threading.get_ident()

    def write(self, text: str) -> int:
        own = threading.get_ident() == self._owner
        return super().write(text) if own else self._others.write(text)


@contextmanager
def _own_prints_logged() -> Iterator[None]:
    """Turn what a package prints at its import into a line of the log, for debugging."""
    with redirect_stdout(_OwnPrints()) as printed:
        yield
    if told := " ".join(printed.getvalue().split()):
        _log.debug("qwen_tts printed at its import: %s", told)
