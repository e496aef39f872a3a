"""Prompts."""


class Qwen3TTSPromptStrategy:
    """Has templates."""
