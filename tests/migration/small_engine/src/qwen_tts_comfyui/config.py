"""What the first client takes."""


class QwenTTSVoiceCloneConfig:
    """A recording and a text."""
