"""The ports: what any backend can be asked, whoever it is.

An adapter implements ``Adapter`` and those of the three ports that its ``capabilities`` name.
"""

from storycore_tts.ports.adapter import Adapter, BackendStatus, Capabilities, Problem
from storycore_tts.ports.cloner import VoiceCloner
from storycore_tts.ports.synthesizer import SpeechSynthesizer
from storycore_tts.ports.trainer import VoiceTrainer

__all__ = [
    "Adapter",
    "BackendStatus",
    "Capabilities",
    "Problem",
    "SpeechSynthesizer",
    "VoiceCloner",
    "VoiceTrainer",
]
