"""The engine's old modules, and the few lines that take their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storycore_tts.services.migration import checkout

_PACKAGE = "storycore_tts"


@dataclass(frozen=True)
class ThinModule:
    """A module that hands on names of ours under its old path.

    Args:
        path: The old module, relative to the checkout.
        name: What the marks around its new content call it.
        purpose: The docstring's first sentence.
        imports: A module of ours -> what is imported from it, perhaps "as" something else.
    """

    path: str
    name: str
    purpose: str
    imports: Mapping[str, tuple[str, ...]]

    def lines(self) -> list[str]:
        """Return its source."""
        imported = [(module, what) for module, all_ in self.imports.items() for what in all_]
        names = sorted(what.split()[-1] for _, what in imported)
        return [
            f'"""{self.purpose} Spoken by storycore-tts; kept for old imports."""',
            "",
            *(f"from {module} import {what}" for module, what in imported),
            "",
            "__all__ = [",
            *(f'    "{name}",' for name in names),
            "]",
        ]


MODULES = (
    ThinModule(
        checkout.INTEGRATION,
        "phase-3-integration",
        "Qwen3-TTS for callers that do not await.",
        {_PACKAGE: ("Qwen3TTSIntegration",)},
    ),
    ThinModule(
        checkout.PROMPTS,
        "phase-3-prompts",
        "Prompts for voices and emotions.",
        {_PACKAGE: ("Qwen3TTSPromptStrategy",)},
    ),
    ThinModule(
        checkout.TTS_SERVICE,
        "phase-3-service",
        "The speech service of the film production.",
        {
            _PACKAGE: (
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
        # Not from the package of that name in our wheel: here it would import itself.
        {
            f"{_PACKAGE}.entrypoints.legacy.client": ("QwenTTSComfyUIClient", "create_client"),
            _PACKAGE: (
                "QwenTTSConfig",
                "QwenTTSGenerationConfig",
                "QwenTTSModelConfig",
                "QwenTTSTrainingConfig",
                "TrainedVoice as TrainingResult",
                "VoiceResult as AudioResult",
            ),
        },
    ),
)
