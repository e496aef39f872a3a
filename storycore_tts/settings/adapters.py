"""The adapters that are installed."""

from __future__ import annotations

from importlib.metadata import entry_points

ADAPTER_GROUP = "storycore_tts.adapters"


def adapter_names() -> list[str]:
    """Return the names that ``tts.qwen.backend`` may take: the adapters that are installed."""
    return sorted({point.name for point in entry_points(group=ADAPTER_GROUP)})
