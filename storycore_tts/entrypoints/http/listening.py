"""Runs the app on a socket until it is stopped."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from storycore_tts.container import live_settings
from storycore_tts.entrypoints.http import problems
from storycore_tts.entrypoints.http.app import app_of
from storycore_tts.entrypoints.http.security.connections import Connection
from storycore_tts.entrypoints.http.sending import Sending
from storycore_tts.entrypoints.http.service import FIXED, lifespan_of
from storycore_tts.errors import ConfigurationError

if TYPE_CHECKING:
    from storycore_tts.live_settings import LiveSettings
    from storycore_tts.settings import QwenTTSConfig

_FAREWELL = 10  # s for running requests to finish after the service was stopped


async def listen(
    config: QwenTTSConfig | LiveSettings,
    announce: Callable[[str], None],
    *,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; running requests finish, jobs are suspended and kept.

    A second signal cancels running requests. A third one ends the process at once.

    Args:
        config: The settings.
        announce: Called with the URL when the service is ready.
        stop: Set this event to stop, as a signal would.

    Raises:
        ConfigurationError: The service cannot listen on the address, or may not without API keys.
        StorageFailed: The database of jobs cannot be used.
        BackendUnavailable: A package that the backend needs is not installed.
    """
    settings = live_settings(config, fixed=FIXED)
    app = app_of(settings)
    opened: dict[str, Any] = {}
    server = _Server(_uvicorn(_with_state(app, opened)), stop or asyncio.Event())
    # The lifespan is ours, not uvicorn's, which would print a traceback and lose the error.
    with _bound(settings.config) as listener, server.heeding_signals():
        async with lifespan_of(settings)(app) as state:
            opened.update(state)
            announce(_url(listener))
            await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends all requests before it returns; signals are handled by ``heeding_signals``.

    uvicorn raises a signal again after it has stopped, which would interrupt the cleanup of the
    service.

    Args:
        settings: Settings of uvicorn.
        stop: Stops the server when set.
    """

    def __init__(self, settings: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(settings)
        self._stop = stop

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped; if the call is cancelled, its requests are cancelled, too."""
        try:
            await super().serve(sockets)
        except asyncio.CancelledError:
            self._cancel_requests()
            await self._requests_ended()
            self.force_exit = True
            if self.started:
                await self.shutdown(sockets)
            raise
        else:
            await self._requests_ended()  # uvicorn does not wait for requests it has cancelled

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop."""
        return await super().on_tick(counter) or self._stop.is_set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Stop at the first signal, cancel requests at the second, do not handle the third."""
        loop = asyncio.get_running_loop()
        handled: list[signal.Signals] = []

        def heed(number: signal.Signals) -> None:
            if not self.should_exit:
                self.handle_exit(number, None)
                return
            self._cancel_requests()
            ignore()

        def ignore() -> None:
            while handled:
                loop.remove_signal_handler(handled.pop())

        for number in (signal.SIGINT, signal.SIGTERM):
            # Not supported by event loops on Windows, nor outside of the main thread.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, heed, number)
                handled.append(number)
        try:
            yield
        finally:
            ignore()

    def _cancel_requests(self) -> None:
        for task in self.server_state.tasks:
            task.cancel()

    async def _requests_ended(self) -> None:
        """Wait until cancelled requests have withdrawn their jobs from the backend."""
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=_FAREWELL)


def _uvicorn(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        access_log=False,
        log_level="warning",
        proxy_headers=False,  # any client could send them
        server_header=False,
        timeout_graceful_shutdown=_FAREWELL,
        # Longer than clients keep idle connections: a request sent on a connection that the server
        # is closing is lost.
        timeout_keep_alive=int(Connection.patience),
        ws="none",
    )


def _with_state(app: ASGIApp, state: Mapping[str, Any]) -> ASGIApp:
    """Add the state to each request, and respond to requests that are cancelled."""

    async def stateful(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**state}
        sending = Sending(send)
        try:
            await app(scope, receive, sending)
        except asyncio.CancelledError:
            # The outermost frame of a task that only the server cancels, so it may end here.
            if not sending.begun:
                await problems.answer(_stopping())(scope, receive, send)

    return stateful


def _stopping() -> problems.Refused:
    return problems.Refused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The service is shutting down.",
        hint="Retry later; jobs and requests with an Idempotency-Key are kept.",
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
            hint="Stop the process that uses this port. A second service needs its own port and "
            "its own folder: --port N --state-dir FOLDER.",
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
