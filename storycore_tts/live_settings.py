"""Settings in force: read once, and again when their file has changed."""

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
"""Settings, the path of a YAML file, or None for the usual places."""

Prepare: TypeAlias = Callable[[QwenTTSConfig], Callable[[], None]]
"""Makes ready what settings need, or raises ``TTSError``; what it returns puts them to use."""

_EVERY = 1.0  # s between two looks at the files
_Stamp = tuple[tuple[int, int, int] | None, ...]

_log = logging.getLogger(__name__)


def read_settings(source: Source) -> QwenTTSConfig:
    """Return the settings that a source holds.

    Raises:
        ConfigurationError: They are refused.
    """
    return source if isinstance(source, QwenTTSConfig) else load_config(source).config


class LiveSettings:
    """Settings that follow their file. It may be used from any number of event loops.

    Args:
        source: Where they come from. Settings that are given as an object stay as they are.
        above: Those that these are made from, which are looked at in their place.
        fixed: Blocks that stay as they were read first.
        read: Reads a source.
        clock: Tells seconds.

    Raises:
        ConfigurationError: They are refused.
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
        """What a result has to say of the settings: that their file as it is now is refused."""
        if self._above is not None:
            return self._above.warnings
        if not self._refused:
            return ()
        return (f"The settings were changed and are refused; those before hold: {self._refused}",)

    def follow(self, prepare: Prepare) -> Callable[[], None]:
        """Put settings to use that are read from now on; all who follow do, or none.

        Returns:
            A function that ends it.
        """
        self._followers.append(prepare)
        return lambda: self._followers.remove(prepare)

    async def refresh(self) -> None:
        """Read the settings again if a file has changed that was looked at over a second ago.

        Those that are refused are logged, once for each change, and the old ones stay.
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
            self._looked = self._clock()  # at last: who comes meanwhile waits for what is read

    async def reload(self, source: Source = None) -> None:
        """Read the settings again now.

        Args:
            source: What to read from now on; None: what was read last.

        Raises:
            TTSError: They are refused; everything stays as it was.
        """
        async with self._alone():
            await self._use(self._source if source is None else source)

    def _is_due(self) -> bool:
        is_watched = not isinstance(self._source, QwenTTSConfig)
        return is_watched and self._clock() - self._looked >= _EVERY

    async def _use(self, source: Source) -> None:
        stamp = await asyncio.to_thread(_stamp, source)  # first: it may change while it is read
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
        """Wait for those who read already, on whatever event loop they are."""
        mine: Future[None] = Future()
        while (first := self._turn.setdefault("", mine)) is not mine:
            await asyncio.shield(asyncio.wrap_future(first))
        try:
            yield
        finally:
            del self._turn[""]
            mine.set_result(None)


def _stamp(source: Source) -> _Stamp:
    """Return what changes when one of the files does, is made or is removed."""
    if isinstance(source, QwenTTSConfig):
        return ()
    return tuple(_stamp_of(file) for file in settings_files(source))


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
