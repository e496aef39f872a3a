"""The engine's old modules, and the short modules that replace them."""

from __future__ import annotations

from collections.abc import Iterator

from storycore_tts.services.migration import checkout

_OURS = "storycore_tts"
_LEGACY = "storycore_tts.entrypoints.legacy.client"  # "qwen_tts_comfyui" would import itself there

_CLIENT = {_LEGACY: ["QwenTTSComfyUIClient", "QwenTTSComfyUIClientSync", "create_client"]}
_CONFIG = {
    _LEGACY: ["QwenTTSVoiceCloneConfig"],
    _OURS: [
        "QwenTTSConfig",
        "QwenTTSGenerationConfig",
        "QwenTTSModelConfig",
        "QwenTTSTrainingConfig",
    ],
}
_SERVICE = [
    "QwenTTSGenerationResult",
    "QwenTTSService",
    "QwenTTSVoice",
    "TrainingResult",
    "create_qwen_tts_service",
]
_RESULTS = ["TrainedVoice as TrainingResult", "VoiceResult as AudioResult"]
_PACKAGE = {
    _LEGACY: [*_CLIENT[_LEGACY], *_CONFIG[_LEGACY]],
    _OURS: [*_CONFIG[_OURS], *_RESULTS],
}

MODULES = {
    checkout.INTEGRATION: ("phase-3-integration", {_OURS: ["Qwen3TTSIntegration"]}),
    checkout.PROMPTS: ("phase-3-prompts", {_OURS: ["Qwen3TTSPromptStrategy"]}),
    checkout.TTS_SERVICE: ("phase-3-service", {_OURS: _SERVICE}),
    checkout.OLD_PACKAGE: ("phase-3-package", _PACKAGE),
    checkout.OLD_CLIENT: ("phase-3-client", _CLIENT),
    checkout.OLD_CONFIG: ("phase-3-config", _CONFIG),
}
"""Region name and imports (names by module) of the replacement, by path of the old module."""


def lines_of(path: str) -> Iterator[str]:
    """Yield the source lines of the replacement of an old module."""
    imported = [(module, what) for module, all_ in MODULES[path][1].items() for what in all_]
    yield '"""Spoken by storycore-tts; kept for old imports."""'
    yield ""
    for module, what in imported:
        yield f"from {module} import {what}"
    yield ""
    yield "__all__ = ["
    for name in sorted(what.split()[-1] for _, what in imported):
        yield f'    "{name}",'
    yield "]"
