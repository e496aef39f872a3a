"""Serves a ``Core`` over HTTP: endpoints, faults, authentication and the log."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from .admin import Admin
from .core import Core
from .faults import HttpFault
from .http_faults import strike
from .log import Request
from .routes import Routes, is_foreign

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SHUTDOWN_SECONDS = 0.01
"""Time for requests to finish when the server stops; some hang by design. 0 would mean forever."""


def application(core: Core) -> web.Application:
    """Return the HTTP application."""

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await _watch(core, request, handler)

    app = web.Application(
        middlewares=[watch],
        client_max_size=core.options.max_upload_size,
    )
    Admin(core.log, core.faults).register(app)
    Routes(core).register(app)
    return app


@contextlib.asynccontextmanager
async def listening(core: Core, port: int) -> AsyncIterator[int]:
    """Serve on a port (0: any free one) and yield it; abort all connections at the end."""
    runner = web.AppRunner(
        application(core),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    worker: asyncio.Task[None] | None = None
    listener = socket.create_server((core.options.host, port))
    try:
        await web.SockSite(runner, listener).start()
        worker = asyncio.create_task(core.executor.work())
        worker.add_done_callback(_complain)
        yield listener.getsockname()[1]
    finally:
        if worker:
            worker.cancel()
        await _stop_accepting(listener)
        core.sockets.abort_all()
        await runner.cleanup()
        listener.close()


async def _watch(core: Core, request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/standin/"):
        return await handler(request)
    path = _canonical(core, request.path)
    status = 0
    try:
        response = await _guarded(core, request, path, handler)
        status = response.status
        return response
    except web.HTTPException as exc:
        status = exc.status
        raise
    finally:
        core.log.add(
            Request(
                method=request.method, path=path, status=status,
                headers=dict(request.headers),
            )
        )  # fmt: skip


async def _guarded(
    core: Core, request: web.Request, path: str, handler: Handler
) -> web.StreamResponse:
    if struck := core.faults.take(HttpFault, path=path, method=request.method):
        return await strike(struck, request, _let_in(core, handler))
    return await _let_in(core, handler)(request)


def _let_in(core: Core, handler: Handler) -> Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        token = core.options.token
        if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
            return web.Response(status=HTTPStatus.UNAUTHORIZED, text="401: Unauthorized")
        if is_foreign(request):
            return web.Response(status=HTTPStatus.FORBIDDEN)
        return await handler(request)

    return checked


def _canonical(core: Core, path: str) -> str:
    """Return the path used for faults and the log, without prefix and /api."""
    path = path.removeprefix(core.options.prefix)
    return path if path.startswith("/api/jobs") else path.removeprefix("/api")


def _complain(worker: asyncio.Task[None]) -> None:
    # Without its worker, the server would look alive but tests would wait forever.
    if not worker.cancelled() and (exc := worker.exception()):
        message = "the stand-in's worker failed: no more jobs will run"
        worker.get_loop().call_exception_handler({"message": message, "exception": exc})


async def _stop_accepting(listener: socket.socket) -> None:
    """Stop accepting connections, and let the loop finish pending ones.

    Up to Python 3.12, asyncio leaks a connection that it accepts while its server is closing, which
    happens easily with clients that reconnect.
    """
    with contextlib.suppress(NotImplementedError):  # not supported on Windows
        asyncio.get_running_loop().remove_reader(listener)
    for _ in range(4):  # accept, make the transport, start its protocol, wake its waiter
        await asyncio.sleep(0)
