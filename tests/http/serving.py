"""Settings of services in tests."""

from storycore_tts import QwenTTSConfig
from storycore_tts.testing.service import serving

__all__ = ["config", "serving"]


def config(folder, **settings):
    """Return settings of a service that keeps all it has below one folder, on any free port."""
    server = {"port": 0, "state_dir": str(folder / "state"), **settings.pop("server", {})}
    usual = {
        "backend": "draft",
        "fallback": "none",
        "voices_dir": str(folder / "voices"),
        "default_language": "English",
    }
    return QwenTTSConfig(**{**usual, **settings}, server=server)
