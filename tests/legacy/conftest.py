"""Settings of the old classes."""

from __future__ import annotations

import pytest

from storycore_tts import QwenTTSConfig


@pytest.fixture
def settings(tmp_path):
    """Makes settings that touch nothing of the user's."""

    def make(**values):
        usual = {"backend": "draft", "fallback": "none", "voices_dir": str(tmp_path / "voices")}
        return QwenTTSConfig(**{**usual, **values})

    return make
