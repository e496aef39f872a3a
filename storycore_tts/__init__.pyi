"""The public names, and the modules that they come from."""

from .__about__ import __version__
from .container import Container, open_tts
from .domain.errors import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    GenerationFailed,
    InvalidDataset,
    InvalidReferenceAudio,
    InvalidRequest,
    JobCancelled,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    RunawayGeneration,
    SilentAudio,
    TTSError,
    UnknownSpeaker,
    UnsupportedByBackend,
    UnsupportedLanguage,
)
from .domain.progress import Progress, Stage
from .domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from .domain.sampling import Sampling
from .domain.speech import Speech, Timings, TrainedVoice
from .domain.voices import Speaker
from .entrypoints.client import (
    QwenTTSComfyUIClient,
    SamplingOptions,
    VoiceResult,
)
from .ports import (
    Adapter,
    BackendStatus,
    Capabilities,
    Problem,
    SpeechSynthesizer,
    VoiceCloner,
    VoiceTrainer,
)
from .services.speech import Defaults, TextToSpeech
from .settings import (
    LoadedConfig,
    QwenTTSConfig,
    QwenTTSGenerationConfig,
    QwenTTSModelConfig,
    QwenTTSTrainingConfig,
    load_config,
)

__all__ = [
    "Adapter",
    "AuthenticationFailed",
    "BackendOverloaded",
    "BackendStatus",
    "BackendTimeout",
    "BackendUnavailable",
    "Capabilities",
    "CloneRequest",
    "ConfigurationError",
    "Container",
    "Defaults",
    "GenerationFailed",
    "InvalidDataset",
    "InvalidReferenceAudio",
    "InvalidRequest",
    "JobCancelled",
    "JobLost",
    "LoadedConfig",
    "NodePackMissing",
    "OutOfMemory",
    "Problem",
    "Progress",
    "QwenTTSComfyUIClient",
    "QwenTTSConfig",
    "QwenTTSGenerationConfig",
    "QwenTTSModelConfig",
    "QwenTTSTrainingConfig",
    "ReferenceAudio",
    "RunawayGeneration",
    "Sampling",
    "SamplingOptions",
    "SilentAudio",
    "Speaker",
    "Speech",
    "SpeechRequest",
    "SpeechSynthesizer",
    "Stage",
    "TTSError",
    "TextToSpeech",
    "Timings",
    "TrainedVoice",
    "TrainingRequest",
    "UnknownSpeaker",
    "UnsupportedByBackend",
    "UnsupportedLanguage",
    "VoiceCloner",
    "VoiceResult",
    "VoiceTrainer",
    "__version__",
    "load_config",
    "open_tts",
]
