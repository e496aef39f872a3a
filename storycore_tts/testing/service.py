"""The real service for tests, on a loopback socket, in its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from storycore_tts.settings import QwenTTSConfig


@contextmanager
def serving(config: QwenTTSConfig) -> Iterator[str]:
    """Run a service and yield its URL; stop it afterwards.

    There can be only one at a time per process. With ``server.port`` 0, any free port is used.

    Args:
        config: The settings; ``server.state_dir`` should be a folder for this test only.

    Raises:
        TTSError: The service cannot start; see ``entrypoints.http.listening``.
    """
    thread = _Serving(config)
    thread.start()
    try:
        thread.settled.wait()
        thread.check()
        yield thread.url
    finally:
        thread.stop()
        thread.join()
    thread.check()


class _Serving(threading.Thread):
    def __init__(self, config: QwenTTSConfig) -> None:
        super().__init__(name="storycore-tts-service")
        self._config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        self._ending = asyncio.Event()
        self._error: Exception | None = None
        self.settled = threading.Event()
        """Set when the service is listening or has failed to start."""
        self.url = ""

    def run(self) -> None:
        try:
            asyncio.run(self._listen())
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            self._error = error
        finally:
            self.settled.set()

    def stop(self) -> None:
        self._stopped = True  # for a thread that has no loop yet
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is already closed
                self._loop.call_soon_threadsafe(self._ending.set)

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _listen(self) -> None:
        from storycore_tts.entrypoints.http.listening import listen

        self._loop = asyncio.get_running_loop()
        if self._stopped:
            self._ending.set()
        await listen(self._config, self._announce, stop=self._ending)

    def _announce(self, url: str) -> None:
        self.url = url
        self.settled.set()
