"""An empty torchaudio for machines where the real one does not load."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


def install_torchaudio_placeholder() -> None:
    """Let ``qwen_tts`` be imported where torchaudio is missing or does not load.

    ``qwen_tts`` imports ``torchaudio.compliance.kaldi`` for its 25 Hz tokenizer, which no
    published checkpoint uses, and torchaudio's wheels load only beside the torch build that they
    were made for; for a CPU build there may be none. Empty modules are enough for the
    import to pass. Where torchaudio works, nothing is done. Call it before importing
    ``qwen_tts``; never in production code.
    """
    try:
        importlib.import_module("torchaudio.compliance.kaldi")
    except (ImportError, OSError):  # OSError: its shared library does not load
        parent: ModuleType | None = None
        for name in ("torchaudio", "torchaudio.compliance", "torchaudio.compliance.kaldi"):
            module = ModuleType(name, "A placeholder without content.")
            # Without a spec, importlib.util.find_spec("torchaudio") raises ValueError, and
            # transformers asks it.
            module.__spec__ = ModuleSpec(name, loader=None)
            sys.modules[name] = module
            if parent is not None:
                setattr(parent, name.rpartition(".")[2], module)
            parent = module
