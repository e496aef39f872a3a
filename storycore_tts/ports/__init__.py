"""The ports: what any backend can be asked, whoever it is.

An adapter implements ``Adapter`` and those of the ports that its ``capabilities`` name:
three, and streaming for those who can. ``JobQueue``, ``UploadStore`` and
``JobAffinityStore`` are what a service needs besides.
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
