"""The stand-in in this process, in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Any

from .core import Core
from .faults import Faults
from .log import StandInLog
from .options import Options
from .serving import listening
from .storage import Storage

START_TIMEOUT = 10.0


class StandInComfyUI:
    """A ComfyUI to test against, on a real socket.

    Accepts the fields of `Options` as keywords:

        with StandInComfyUI(instant=True) as server:
            ...  # talk to server.url

    `faults` contains scripted faults, `log` the log. Both are kept across `restart`.
    """

    def __init__(self, options: Options | None = None, **settings: Any) -> None:
        self.options = replace(options or Options(), **settings)
        self.log = StandInLog(self.options.log_file)
        self.faults = Faults(self.log)
        self._storage: Storage | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._core: Core | None = None
        self._port = self.options.port

    @property
    def url(self) -> str:
        """URL of the server, with the path prefix, without a trailing slash."""
        return f"http://{self.options.host}:{self.port}{self.options.prefix}"

    @property
    def port(self) -> int:
        """The port; known after the server was started."""
        if not self._port:
            raise RuntimeError("the stand-in has not been started")
        return self._port

    @property
    def storage(self) -> Storage:
        """The files of the server."""
        if self._storage is None:
            raise RuntimeError("the stand-in has not been started")
        return self._storage

    def start(self) -> None:
        """Start listening; raises OSError if the port is in use."""
        if self._thread is not None:
            raise RuntimeError("the stand-in is running already")
        if self._storage is None:
            self._storage = Storage(self.options.data_dir, in_memory=self.options.instant)
        self._storage.forget_temp()
        ready: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="standin-comfyui", daemon=True
        )
        self._thread.start()
        problem = ready.get(timeout=START_TIMEOUT)
        if problem is not None:
            self._thread.join()
            self._thread = None
            raise problem

    def stop(self) -> None:
        """Stop listening, abort all connections and remove temporary files."""
        self.kill()
        self.faults.release_all()
        if self._storage is not None:
            self._storage.close()
            self._storage = None
        self.log.close()

    def restart(self, *, down_seconds: float = 0.0) -> None:
        """Simulate a crash and a restart on the same port after `down_seconds`.

        Sockets are aborted without a close frame (1006). Queue, history, cache and model are
        cleared, and the temp folder is emptied; other files, log and faults are kept.
        """
        self.kill()
        if down_seconds:
            time.sleep(down_seconds)
        self.start()

    def cut_sockets(self) -> None:
        """Abort all WebSockets without a close frame; the server keeps running."""
        if self._loop is not None and self._core is not None:
            self._loop.call_soon_threadsafe(self._core.sockets.abort_all)

    def release_all(self) -> None:
        """Open all gates."""
        self.faults.release_all()

    def kill(self) -> None:
        """Simulate a crash: abort all connections, keep the files; `start` restarts it."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = self._loop = self._stop = self._core = None

    async def _serve(self, ready: queue.SimpleQueue[OSError | None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._core = Core(self.options, self.log, self.faults, self.storage)
        try:
            async with listening(self._core, self._port) as port:
                self._port = port
                ready.put(None)
                await self._stop.wait()
        except OSError as exc:
            ready.put(exc)

    def __enter__(self) -> StandInComfyUI:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> StandInComfyUI:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)
