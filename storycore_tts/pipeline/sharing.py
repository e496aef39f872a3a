"""One backend for all that are configured in the same way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from storycore_tts.errors import TTSError
from storycore_tts.pipeline.calls import Backend, Pipeline


class SharedBackends:
    """Makes each backend once, and closes it when its last lease is closed.

    So a model stays loaded while settings change that are not about it, and a backend that is both
    a fallback and a side of a rollout has one model in memory.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[Backend, int]] = {}
        self._lock = threading.RLock()  # making one may lease another

    def lease(self, key: Hashable, make: Callable[[], Backend]) -> Backend:
        """Return a share of the backend that goes by a key; close it like any other.

        Args:
            key: Equal for those that can share.
            make: Makes it unless it is leased already.

        Raises:
            TTSError: What ``make`` raises.
        """
        with self._lock:
            backend, leases = self._made.get(key) or (make(), 0)
            self._made[key] = (backend, leases + 1)
        return _Lease(backend, lambda: self._give_back(key))

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Take back every lease of a block that fails.

        What was made for it is forgotten, not closed: it had no call yet.
        """
        with self._lock:
            before = self._made.copy()
            try:
                yield
            except TTSError:
                self._made = before
                raise

    def _give_back(self, key: Hashable) -> bool:
        """Count a lease as ended; tell whether it was the last one."""
        with self._lock:
            backend, leases = self._made[key]
            if leases > 1:
                self._made[key] = (backend, leases - 1)
                return False
            del self._made[key]
            return True


class _Lease(Pipeline):
    """A share of a backend."""

    def __init__(self, inner: Backend, give_back: Callable[[], bool]) -> None:
        super().__init__(inner)
        self._give_back = give_back
        self._closed = False
        self._alone = False

    async def aclose(self) -> None:
        """Give the share back, and close what is not leased any more.

        Again each time: a backend that is used once more, on another event loop for instance,
        opens what it needs there.
        """
        if not self._closed:
            self._closed = True
            self._alone = self._give_back()
        if self._alone:
            await super().aclose()
