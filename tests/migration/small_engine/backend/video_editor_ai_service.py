"""Services of the small engine's video editor."""

from dataclasses import dataclass


@dataclass
class AIConfig:
    """How the services work."""

    tts_model: str = "coqui"  # coqui, vits, qwen
    tts_default_voice: str = "fr-FR-Denise"
    temp_dir: str = "data/temp"


ai_config = AIConfig()


class CropService:
    """Cuts pictures."""

    def __init__(self, config: AIConfig | None = None):
        self.config = config or ai_config


class TTSService:
    """Speaks, in a way of its own."""

    def __init__(self, config: AIConfig | None = None):
        self.config = config or ai_config


class AIVideoEditorService:
    """All services in one."""

    def __init__(self, config: AIConfig | None = None):
        self.config = config or ai_config
        self.tts = TTSService(
            config,
        )  # à remplacer
        self.crop = CropService(config)


def create_tts_service(config: AIConfig | None = None) -> TTSService:
    """Make a service."""
    return TTSService(config)
