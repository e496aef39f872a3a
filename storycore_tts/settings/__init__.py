"""Settings: the ``tts.qwen`` block of YAML, overridden by files and then by the environment.

Settings are validated at startup. Unknown keys, wrong types and invalid values raise a
``ConfigurationError`` that names the file, the key, the value and the allowed values.
"""

from storycore_tts.settings.adapters import (
    ADAPTER_GROUP,
    SETTINGS_GROUP,
    AdapterSettings,
    adapter_names,
    entry_point,
)
from storycore_tts.settings.backends import (
    BreakerConfig,
    ComfyUIConfig,
    ComfyUITimeouts,
    DirectConfig,
    DraftConfig,
    RetryConfig,
)
from storycore_tts.settings.block import Seconds, SettingsBlock
from storycore_tts.settings.config import QwenTTSConfig, QwenTTSModelConfig, rollout_notice
from storycore_tts.settings.generation import QwenTTSGenerationConfig, QwenTTSTrainingConfig
from storycore_tts.settings.loading import (
    CONFIG_VARIABLE,
    ENVIRONMENT_PREFIX,
    LoadedConfig,
    Origin,
    load_config,
    settings_files,
)
from storycore_tts.settings.server import PATH_PREFIX, ServerConfig
from storycore_tts.settings.voices import VoiceMapping

__all__ = [
    "ADAPTER_GROUP",
    "CONFIG_VARIABLE",
    "ENVIRONMENT_PREFIX",
    "PATH_PREFIX",
    "SETTINGS_GROUP",
    "AdapterSettings",
    "BreakerConfig",
    "ComfyUIConfig",
    "ComfyUITimeouts",
    "DirectConfig",
    "DraftConfig",
    "LoadedConfig",
    "Origin",
    "QwenTTSConfig",
    "QwenTTSGenerationConfig",
    "QwenTTSModelConfig",
    "QwenTTSTrainingConfig",
    "RetryConfig",
    "Seconds",
    "ServerConfig",
    "SettingsBlock",
    "VoiceMapping",
    "adapter_names",
    "entry_point",
    "load_config",
    "rollout_notice",
    "settings_files",
]
