"""The engine's old modules, and the few lines that take their place."""

from __future__ import annotations

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
        names: What it hands on.
    """

    path: str
    name: str
    purpose: str
    names: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return its source."""
        listed = [f"    {name}," for name in self.names]
        quoted = [f'    "{name}",' for name in self.names]
        return [
            f'"""{self.purpose} Spoken by storycore-tts; kept for old imports."""',
            "",
            f"from {_PACKAGE} import (",
            *listed,
            ")",
            "",
            "__all__ = [",
            *quoted,
            "]",
        ]


MODULES = (
    ThinModule(
        checkout.INTEGRATION,
        "phase-3-integration",
        "Qwen3-TTS for callers that do not await.",
        ("Qwen3TTSIntegration",),
    ),
    ThinModule(
        checkout.PROMPTS,
        "phase-3-prompts",
        "Prompts for voices and emotions.",
        ("Qwen3TTSPromptStrategy",),
    ),
    ThinModule(
        checkout.TTS_SERVICE,
        "phase-3-service",
        "The speech service of the film production.",
        ("QwenTTSGenerationResult", "QwenTTSService", "QwenTTSVoice", "TrainingResult"),
    ),
    ThinModule(
        checkout.OLD_CLIENT,
        "phase-3-client",
        "The first client of ComfyUI.",
        (
            "QwenTTSComfyUIClient",
            "QwenTTSConfig",
            "QwenTTSGenerationConfig",
            "QwenTTSModelConfig",
            "QwenTTSTrainingConfig",
            "TrainingResult",
        ),
    ),
)
