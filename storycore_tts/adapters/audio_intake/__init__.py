"""Decodes untrusted recordings in sandboxed subprocesses."""

from __future__ import annotations

from storycore_tts.adapters.audio_intake.child import IntakeLimits
from storycore_tts.adapters.audio_intake.reader import RecordingReader

__all__ = ["IntakeLimits", "RecordingReader"]
