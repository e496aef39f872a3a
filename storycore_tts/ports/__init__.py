"""The ports: the interfaces that backends implement.

An adapter implements ``Adapter`` and the ports that its ``capabilities`` declare; ``operations``
lists their methods. A service also needs ``JobQueue``, ``UploadStore`` and ``JobAffinityStore``.
"""

from storycore_tts.ports.adapter import Adapter, BackendStatus, Capabilities, Problem
from storycore_tts.ports.cloner import VoiceCloner
from storycore_tts.ports.jobs import JobAffinityStore, JobQueue, UploadStore
from storycore_tts.ports.streaming import SpeechChunk, StreamingSynthesizer
from storycore_tts.ports.synthesizer import SpeechSynthesizer
from storycore_tts.ports.trainer import VoiceTrainer

__all__ = [
    "Adapter",
    "BackendStatus",
    "Capabilities",
    "JobAffinityStore",
    "JobQueue",
    "Problem",
    "SpeechChunk",
    "SpeechSynthesizer",
    "StreamingSynthesizer",
    "UploadStore",
    "VoiceCloner",
    "VoiceTrainer",
]
