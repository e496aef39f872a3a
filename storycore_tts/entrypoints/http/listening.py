"""The app on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from storycore_tts.domain.errors import ConfigurationError
from storycore_tts.entrypoints.http import problems
from storycore_tts.entrypoints.http.app import create_app
from storycore_tts.entrypoints.http.security.connections import Connection
from storycore_tts.entrypoints.http.sending import Sending
from storycore_tts.entrypoints.http.service import State, lifespan_of

if TYPE_CHECKING:
    from storycore_tts.settings import QwenTTSConfig

_FAREWELL = 10  # s that requests under way have to end, once the service was told to stop


async def listen(
    config: QwenTTSConfig,
    announce: Callable[[str], None],
    *,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; what is under way ends, jobs are put down and kept.

    Args:
        config: The settings.
        announce: Is told the address, once requests are taken.
        stop: Set it to end as a signal would.

    Raises:
        ConfigurationError: The address cannot be listened on, or needs a key.
        StorageFailed: The database of jobs cannot be used.
        BackendUnavailable: A package that the backend needs is not installed.
    """
    app = create_app(config)
    with _bound(config) as listener:
        # The lifespan is ours, not uvicorn's, which would print a traceback and lose the error.
        async with lifespan_of(config)(app) as state:
            server = uvicorn.Server(_settings(_with_state(app, state)))
            announce(_url(listener))
            stopping = asyncio.ensure_future(_stop(server, stop or asyncio.Event()))
            try:
                await server.serve(sockets=[listener])
            finally:
                stopping.cancel()


async def _stop(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        access_log=False,
        log_level="warning",
        proxy_headers=False,  # anybody could claim to be a proxy
        server_header=False,
        timeout_graceful_shutdown=_FAREWELL,
        # As long as one may wait: clients keep idle connections for less, and lose what they send
        # on one that was closed.
        timeout_keep_alive=int(Connection.patience),
        ws="none",
    )


def _with_state(app: ASGIApp, state: State) -> ASGIApp:
    """Hand the state to each request, and end those with an answer that the farewell cuts short."""

    async def stateful(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**state}
        sending = Sending(send)
        try:
            await app(scope, receive, sending)
        except asyncio.CancelledError:  # nobody else cancels requests, and they are its tasks
            if not sending.begun:
                await problems.answer(_stopping())(scope, receive, send)

    return stateful


def _stopping() -> problems.Refused:
    return problems.Refused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The service is stopped before this was done.",
        hint="Ask again later; a job, or a request with an Idempotency-Key, is kept meanwhile.",
        headers={"Retry-After": "5"},
    )


def _bound(config: QwenTTSConfig) -> socket.socket:
    host, port = config.server.host, config.server.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}.",
            key="tts.qwen.server.port",
            value=port,
            hint="Choose another port with --port, or stop what listens there.",
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
