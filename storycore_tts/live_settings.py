"""Settings that are reloaded when their file changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from storycore_tts.domain.logs import log_event
from storycore_tts.errors import TTSError
from storycore_tts.settings import QwenTTSConfig, load_config, settings_files

Source: TypeAlias = QwenTTSConfig | str | Path | None
"""Settings, the path of a YAML file, or None for the default locations."""

Prepare: TypeAlias = Callable[[QwenTTSConfig], Callable[[], None]]
"""Prepares for new settings, or raises ``TTSError``; returns a function that applies them."""

_EVERY = 1.0  # s between two checks of the files
_Stamp = tuple[tuple[int, int, int] | None, ...]

_log = logging.getLogger(__name__)


def read_settings(source: Source) -> QwenTTSConfig:
    """Return the settings from a source.

    Args:
        source: Settings, the path of a YAML file, or None for the default locations.

    Raises:
        ConfigurationError: The settings are invalid.
    """
    return source if isinstance(source, QwenTTSConfig) else load_config(source).config


class LiveSettings:
    """Settings that follow changes of their file. Safe to use from several event loops.

    Args:
        source: Where to read the settings. Settings passed as an object never change.
        above: Settings that these are derived from; their file is checked instead.
        fixed: Names of blocks that are not reloaded.
        read: Reads a source.
        clock: Monotonic time in seconds.

    Raises:
        ConfigurationError: The settings are invalid.
    """

    def __init__(
        self,
        source: Source = None,
        *,
        above: LiveSettings | None = None,
        fixed: tuple[str, ...] = (),
        read: Callable[[Source], QwenTTSConfig] = read_settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._fixed, self._read, self._clock = source, fixed, read, clock
        self._above = above
        self._stamp = _stamp(source)
        self._looked = clock()
        self._turn: dict[str, Future[None]] = {}
        self._followers: list[Prepare] = []
        self._refused = ""
        self.config = read(source)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning for results while the settings file is invalid; empty otherwise."""
        if self._above is not None:
            return self._above.warnings
        if not self._refused:
            return ()
        return (f"The changed settings are invalid; the old ones stay in force: {self._refused}",)

    def follow(self, prepare: Prepare) -> Callable[[], None]:
        """Register a follower of reloads. New settings apply to all followers, or to none.

        Args:
            prepare: Prepares for new settings; see ``Prepare``.

        Returns:
            A function that removes the follower.
        """
        self._followers.append(prepare)
        return lambda: self._followers.remove(prepare)

    async def refresh(self) -> None:
        """Reload the settings if their file has changed; checked at most once a second.

        If the new settings are invalid, the error is logged once per change and the old ones stay.
        """
        if self._above is not None:
            await self._above.refresh()
        if not self._is_due():
            return
        async with self._alone():
            if not self._is_due():
                return
            try:
                if await asyncio.to_thread(_stamp, self._source) != self._stamp:
                    await self._use(self._source)
            except TTSError as error:
                log_event(_log, logging.ERROR, "settings.refused", reason=str(error))
            self._looked = self._clock()  # last, so that concurrent callers wait for the reload

    async def reload(self, source: Source = None) -> None:
        """Reload the settings now.

        Args:
            source: The source to switch to; None: the current one.

        Raises:
            TTSError: The settings are invalid or cannot be applied; the old ones stay in force.
        """
        async with self._alone():
            await self._use(self._source if source is None else source)

    def _is_due(self) -> bool:
        is_watched = not isinstance(self._source, QwenTTSConfig)
        return is_watched and self._clock() - self._looked >= _EVERY

    async def _use(self, source: Source) -> None:
        stamp = await asyncio.to_thread(_stamp, source)  # before reading it: it may change
        try:
            config = await asyncio.to_thread(self._read, source)
            kept = {name: getattr(self.config, name) for name in self._fixed}
            config = config.model_copy(update=kept)
            uses = [prepare(config) for prepare in self._followers]
        except TTSError as error:
            if source is self._source:
                self._stamp, self._refused = stamp, str(error)
            raise
        self.config, self._source, self._stamp, self._refused = config, source, stamp, ""
        for use in uses:
            use()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Serialise reloads, across event loops."""
        mine: Future[None] = Future()
        while (first := self._turn.setdefault("", mine)) is not mine:
            await asyncio.shield(asyncio.wrap_future(first))
        try:
            yield
        finally:
            del self._turn[""]
            mine.set_result(None)


def _stamp(source: Source) -> _Stamp:
    """Return a value that changes when one of the files is changed, created or removed."""
    if isinstance(source, QwenTTSConfig):
        return ()
    return tuple(_stamp_of(file) for file in settings_files(source))


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
