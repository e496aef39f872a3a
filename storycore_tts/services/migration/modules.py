"""The engine's old modules, and the few lines that take their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storycore_tts.services.migration import checkout

_ENGINE = "storycore_tts.entrypoints.storycore"
_LEGACY = "storycore_tts.entrypoints.legacy"


@dataclass(frozen=True)
class ThinModule:
    """A module that hands on names of ours under its old path.

    Args:
        path: The old module, relative to the checkout.
        name: What the marks around its new content call it.
        purpose: The docstring's first sentence.
        imports: Module of ours -> the names that it has.
    """

    path: str
    name: str
    purpose: str
    imports: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> list[str]:
        """What can be imported from it."""
        return sorted(name for names in self.imports.values() for name in names)

    def lines(self) -> list[str]:
        """Return its source."""
        lines = [f'"""{self.purpose} Spoken by storycore-tts; kept for old imports."""', ""]
        for module, names in self.imports.items():
            if len(names) == 1:
                lines.append(f"from {module} import {names[0]}")
            else:
                lines += [f"from {module} import (", *(f"    {name}," for name in names), ")"]
        return [*lines, "", "__all__ = [", *(f'    "{name}",' for name in self.names), "]"]


MODULES = (
    ThinModule(
        checkout.INTEGRATION,
        "phase-3-integration",
        "Qwen3-TTS for callers that do not await.",
        {_LEGACY: ("Qwen3TTSIntegration",)},
    ),
    ThinModule(
        checkout.PROMPTS,
        "phase-3-prompts",
        "Prompts for voices and emotions.",
        {_LEGACY: ("Qwen3TTSPromptStrategy",)},
    ),
    ThinModule(
        checkout.TTS_SERVICE,
        "phase-3-service",
        "The speech service of the film production.",
        {
            _ENGINE: (
                "QwenTTSGenerationResult",
                "QwenTTSService",
                "QwenTTSVoice",
                "TrainingResult",
            )
        },
    ),
    ThinModule(
        checkout.OLD_CLIENT,
        "phase-3-client",
        "The first client of ComfyUI.",
        {
            "storycore_tts": (
                "QwenTTSComfyUIClient",
                "QwenTTSConfig",
                "QwenTTSGenerationConfig",
                "QwenTTSModelConfig",
                "QwenTTSTrainingConfig",
            )
        },
    ),
)
