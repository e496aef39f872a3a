"""Installed adapters and the settings block that each of them declares."""

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
"""Entry-point group of the adapter factories."""
SETTINGS_GROUP = "storycore_tts.adapter_settings"
"""Entry-point group of the adapters' settings classes, under the same names."""


class AdapterSettings(SettingsBlock):
    """Settings of one adapter, in the block ``tts.qwen.<name>``. Subclass it for your own adapter.

    Mark a secret with ``repr=False``: ``doctor`` and error messages then hide its value.
    """

    also_read: ClassVar[tuple[str, ...]] = ()
    """Other keys of ``tts.qwen`` that the adapter reads, besides those of ``QwenTTSModelConfig``.
    The adapter is recreated when one of them changes at run time."""

    @property
    def max_concurrent(self) -> int:
        """Maximum number of concurrent requests, unless ``server.concurrency`` sets it."""
        return 4

    def machine(self, config: QwenTTSConfig) -> str:
        """Describe the machine that runs the model; duration estimates are kept per machine.

        Args:
            config: The settings in force.
        """
        return f"on {config.device}"


def adapter_names() -> list[str]:
    """Return the names of the installed adapters, the valid values of ``tts.qwen.backend``."""
    return sorted({name for group, name in _installed(tuple(sys.path)) if group == ADAPTER_GROUP})


def entry_point(group: str, name: str) -> EntryPoint | None:
    """Return the entry point with this name, or None if there is none.

    Args:
        group: ``ADAPTER_GROUP`` or ``SETTINGS_GROUP``.
        name: The adapter's name.
    """
    return _installed(tuple(sys.path)).get((group, name))


@cache
def _installed(path: tuple[str, ...]) -> Mapping[tuple[str, str], EntryPoint]:
    """Return all entry points. Cached, because scanning the installed packages is slow."""
    return {
        (group, point.name): point
        for group in (ADAPTER_GROUP, SETTINGS_GROUP)
        for point in reversed(tuple(entry_points(group=group)))  # the first one found wins
    }


def declared_settings(name: str) -> type[AdapterSettings] | None:
    """Return the settings class that a third-party adapter declares, or None if it declares none.

    Args:
        name: The adapter's name.

    Raises:
        ConfigurationError: The class cannot be imported, or is not an ``AdapterSettings``.
    """
    point = entry_point(SETTINGS_GROUP, name)
    if point is None:
        return None
    try:
        declared = point.load()
    except Exception as error:  # importing runs any code of another package
        raise _unusable(point, str(error)) from error
    if not (isinstance(declared, type) and issubclass(declared, AdapterSettings)):
        raise _unusable(point, f"{point.value} is not a subclass of AdapterSettings")
    return declared


def read_block(key: str, kind: type[AdapterSettings], values: Any) -> AdapterSettings:
    """Validate the settings block of an adapter.

    Args:
        key: Dotted path of the block, for error messages.
        kind: The settings class that the adapter declares.
        values: A mapping, or an instance of that class.

    Raises:
        ConfigurationError: A value is invalid.
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
