"""One life of a server, from start to stop or crash: its queue, history, sockets and worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from .admin import Admin
from .checkpoints import Checkpoints
from .executor import Executor
from .faults import Faults, HttpFault
from .http_faults import strike
from .installation import ServerLog
from .log import ModelLoaded, Request, StandInLog
from .object_info import NodeCatalogue
from .options import Options
from .prompt_jobs import History, JobQueue
from .routes import Routes, is_foreign
from .sockets import Sockets
from .storage import Storage

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
GIB = 1024**3
SHUTDOWN_SECONDS = 0.01
"""How long a stopping server waits for requests; some hang by design, and 0 means for ever."""


class Core:
    """Everything that a restart forgets. The log, the script and the files outlive it."""

    def __init__(self, options: Options, log: StandInLog, faults: Faults, storage: Storage) -> None:
        self.options = options
        self.log = log
        self.faults = faults
        self.storage = storage
        self.checkpoints = Checkpoints(options.checkpoints, options.on_disk)
        self.catalogue = NodeCatalogue(faults, options)
        self.printed = ServerLog()
        self.history = History(options.history_limit)
        self.queue = JobQueue(log, faults)
        self.sockets = Sockets(log, faults, self.queue_info, self.features)
        self.queue.changed = self.sockets.send_status
        self.executor = Executor(self, log, self.queue, self.history, self.sockets, self.catalogue)

    def stock_speakers(self) -> list[str]:
        """Speakers of the stock model: those that the node offers, in lower case."""
        node = self.catalogue.nodes()["FB_Qwen3TTSCustomVoice"]
        return [name.lower() for name in node["input"]["required"]["speaker"][0]]

    def broadcast(self, event: str, data: Mapping[str, Any]) -> None:
        """Send a frame to every client."""
        self.sockets.send(event, data)

    def model_loaded(self, name: str) -> None:
        """Note that a model was loaded."""
        self.log.add(ModelLoaded(model=name))

    def queue_info(self) -> dict[str, Any]:
        """How many jobs there are."""
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    def features(self) -> dict[str, Any]:
        """What the server can do, as /features and the feature_flags frame say it."""
        limit = self.options.max_upload_size
        return {"supports_preview_metadata": True, "max_upload_size": limit}

    def system_stats(self) -> dict[str, Any]:
        """What /system_stats answers."""
        kind = "cuda" if self.options.has_cuda else self.options.other_device
        name = "cuda:0 NVIDIA Stand-in : cudaMallocAsync" if self.options.has_cuda else kind
        memory = {
            "vram_total": 24 * GIB,
            "vram_free": 22 * GIB,
            "torch_vram_total": 24 * GIB,
            "torch_vram_free": 22 * GIB,
        }
        return {
            "system": {
                "os": "posix",
                "ram_total": 24 * GIB,
                "ram_free": 22 * GIB,
                "comfyui_version": self.options.comfyui_version,
                "required_frontend_version": "1.27.10",
                "installed_templates_version": None,
                "required_templates_version": "0.1.95",
                "python_version": "3.11.7 (main)",
                "pytorch_version": "2.13.0+cu130" if self.options.has_cuda else "2.13.0+cpu",
                "embedded_python": False,
                "argv": ["main.py"],
            },
            "devices": [
                {
                    "name": name,
                    "type": kind,
                    "index": 0 if kind in ("cuda", "xpu") else None,
                    **memory,
                }
            ],
        }

    def application(self) -> web.Application:
        """The HTTP application."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._watch(request, handler)

        app = web.Application(
            middlewares=[watch],
            client_max_size=self.options.max_upload_size,
        )
        Admin(self.log, self.faults).register(app)
        Routes(self).register(app)
        return app

    @contextlib.asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[int]:
        """Serve on a port (0: a free one) and yield the port; cut everything off at the end."""
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        await runner.setup()
        worker: asyncio.Task[None] | None = None
        listener = socket.create_server((self.options.host, port))
        try:
            await web.SockSite(runner, listener).start()
            worker = asyncio.create_task(self.executor.work())
            worker.add_done_callback(_complain)
            yield listener.getsockname()[1]
        finally:
            if worker:
                worker.cancel()
            await _stop_accepting(listener)
            self.sockets.abort_all()
            await runner.cleanup()
            listener.close()

    # Every request

    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/standin/"):
            return await handler(request)
        path = self._canonical(request.path)
        status = 0
        try:
            response = await self._guarded(request, path, handler)
            status = response.status
            return response
        except web.HTTPException as exc:
            status = exc.status
            raise
        finally:
            self.log.add(
                Request(
                    method=request.method, path=path, status=status,
                    headers=dict(request.headers),
                )
            )  # fmt: skip

    async def _guarded(
        self, request: web.Request, path: str, handler: Handler
    ) -> web.StreamResponse:
        if struck := self.faults.take(HttpFault, path=path, method=request.method):
            return await strike(struck, request, self._let_in(handler))
        return await self._let_in(handler)(request)

    def _let_in(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            token = self.options.token
            if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
                return web.Response(status=HTTPStatus.UNAUTHORIZED, text="401: Unauthorized")
            if is_foreign(request):
                return web.Response(status=HTTPStatus.FORBIDDEN)
            return await handler(request)

        return checked

    def _canonical(self, path: str) -> str:
        """The path as the script and the log have it: without prefix and /api."""
        path = path.removeprefix(self.options.prefix)
        return path if path.startswith("/api/jobs") else path.removeprefix("/api")


def _complain(worker: asyncio.Task[None]) -> None:
    # Without its worker the server would only look alive, and tests would wait in vain.
    if not worker.cancelled() and (exc := worker.exception()):
        message = "the stand-in's worker failed: no more jobs will run"
        worker.get_loop().call_exception_handler({"message": message, "exception": exc})


async def _stop_accepting(listener: socket.socket) -> None:
    """Take no new connection, and let the loop finish those that it is about to take.

    asyncio leaks a connection that it accepts while its server closes (up to Python 3.12), as a
    client that reconnects all the time easily brings about.
    """
    with contextlib.suppress(NotImplementedError):  # Windows: its loop has no readers
        asyncio.get_running_loop().remove_reader(listener)
    for _ in range(4):  # accept, make the transport, start its protocol, wake its waiter
        await asyncio.sleep(0)
