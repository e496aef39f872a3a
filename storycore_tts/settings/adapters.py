"""The adapters that are installed, and the block of settings that each of them declares."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from storycore_tts.errors import ConfigurationError
from storycore_tts.settings.block import SettingsBlock, moved, refused

if TYPE_CHECKING:
    from storycore_tts.settings.config import QwenTTSConfig

ADAPTER_GROUP = "storycore_tts.adapters"
"""The entry points that are factories of adapters."""
SETTINGS_GROUP = "storycore_tts.adapter_settings"
"""The entry points that are their blocks of settings, under the same names."""


class AdapterSettings(SettingsBlock):
    """Settings of one adapter, the block ``tts.qwen.<its name>``: subclass it for yours.

    A field with ``repr=False`` is a secret: neither ``doctor`` nor an error message shows it.
    """

    also_read: ClassVar[tuple[str, ...]] = ()
    """Other keys of ``tts.qwen`` that the adapter reads, besides those of ``QwenTTSModelConfig``.
    When one of them changes while the program runs, the adapter is recreated."""

    @property
    def max_concurrent(self) -> int:
        """Requests at a time, unless ``server.concurrency`` names the adapter."""
        return 4

    def machine(self, config: QwenTTSConfig) -> str:
        """Return where the work is done; estimates of duration are kept per machine.

        Args:
            config: The settings in force.
        """
        return f"on {config.device}"


def adapter_names() -> list[str]:
    """Return the names that ``tts.qwen.backend`` may take: the adapters that are installed."""
    return sorted({name for group, name in _installed(tuple(sys.path)) if group == ADAPTER_GROUP})


def entry_point(group: str, name: str) -> EntryPoint | None:
    """Return the entry point of that name, or None.

    Args:
        group: ``ADAPTER_GROUP`` or ``SETTINGS_GROUP``.
        name: The adapter's name.
    """
    return _installed(tuple(sys.path)).get((group, name))


@cache
def _installed(path: tuple[str, ...]) -> Mapping[tuple[str, str], EntryPoint]:
    """Look at every installed package, which takes longer than to check all settings."""
    return {
        (group, point.name): point
        for group in (ADAPTER_GROUP, SETTINGS_GROUP)
        for point in reversed(entry_points(group=group))
    }


def declared_settings(name: str) -> type[AdapterSettings] | None:
    """Return the block that an adapter of another package declares; None if it declares none.

    Args:
        name: The adapter's name.

    Raises:
        ConfigurationError: What it declares cannot be imported, or is no ``AdapterSettings``.
    """
    point = entry_point(SETTINGS_GROUP, name)
    if point is None:
        return None
    try:
        declared = point.load()
    except (ImportError, AttributeError) as error:
        raise _unusable(point, str(error)) from error
    if not (isinstance(declared, type) and issubclass(declared, AdapterSettings)):
        raise _unusable(point, f"{point.value} is not a subclass of AdapterSettings")
    return declared


def read_block(key: str, kind: type[AdapterSettings], values: Any) -> AdapterSettings:
    """Validate the block of an adapter.

    Args:
        key: Where it stands, for refusals.
        kind: The class that the adapter declares.
        values: A mapping, or an object of that class.

    Raises:
        ConfigurationError: A value is refused.
    """
    if isinstance(values, kind):
        return values
    if not isinstance(values, dict):
        raise refused(key, values, "a valid dictionary")
    try:
        return kind(**{str(name): value for name, value in values.items()})
    except ConfigurationError as error:
        raise moved(error, ".".join(filter(None, [key, error.key]))) from None


def _unusable(point: EntryPoint, why: str) -> ConfigurationError:
    package = point.dist.name if point.dist else point.module
    return ConfigurationError(
        f"The settings of the adapter {point.name!r} cannot be loaded: {why}.",
        key=f"tts.qwen.{point.name}",
        hint=f"Install {package} again, or remove it.",
    )
