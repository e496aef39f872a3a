"""Shares one backend between all users of the same settings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from storycore_tts.errors import TTSError
from storycore_tts.pipeline.calls import Backend, Dispatcher, Pipeline


class SharedBackends:
    """Creates each backend once, and closes it when its last lease is closed.

    So a model stays loaded when unrelated settings change, and a backend that is both a fallback
    and part of a rollout has only one model in memory.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[Backend, int]] = {}
        self._lock = threading.RLock()  # creating one may lease another

    def lease(self, key: Hashable, make: Callable[[], Backend]) -> Backend:
        """Return a lease of the backend with this key; close it like any backend.

        Args:
            key: Equal for settings that can share a backend.
            make: Creates the backend if it is not leased yet.

        Raises:
            TTSError: ``make`` raised it.
        """
        with self._lock:
            backend, leases = self._made.get(key) or (make(), 0)
            self._made[key] = (backend, leases + 1)
        return _Lease(backend, lambda: self._give_back(key))

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Undo all leases of a block that fails.

        Backends created in the block are dropped without closing, since they had no calls yet.
        """
        with self._lock:
            before = self._made.copy()
            try:
                yield
            except TTSError:
                self._made = before
                raise

    def forget(self, reference_sha256: str) -> None:
        """Drop what all adapters prepared from a recording; see ``ReferenceCache.forget``."""
        with self._lock:
            backends = [backend for backend, _ in self._made.values()]
        for backend in backends:
            if isinstance(backend, Dispatcher):
                backend.forget(reference_sha256)

    def _give_back(self, key: Hashable) -> bool:
        """End a lease; return whether it was the last one."""
        with self._lock:
            backend, leases = self._made[key]
            if leases > 1:
                self._made[key] = (backend, leases - 1)
                return False
            del self._made[key]
            return True


class _Lease(Pipeline):
    """A lease of a shared backend."""

    def __init__(self, inner: Backend, give_back: Callable[[], bool]) -> None:
        super().__init__(inner)
        self._give_back = give_back
        self._closed = False
        self._alone = False

    async def aclose(self) -> None:
        """End the lease, and close the backend if this was the last one.

        Closes again on every call, because a backend that is used after closing, for example on
        another event loop, reopens its resources.
        """
        if not self._closed:
            self._closed = True
            self._alone = self._give_back()
        if self._alone:
            await super().aclose()
