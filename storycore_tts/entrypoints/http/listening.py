"""The app on a socket, until it is told to stop."""

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
from storycore_tts.domain.errors import ConfigurationError
from storycore_tts.entrypoints.http import problems
from storycore_tts.entrypoints.http.app import app_of
from storycore_tts.entrypoints.http.security.connections import Connection
from storycore_tts.entrypoints.http.sending import Sending
from storycore_tts.entrypoints.http.service import FIXED, lifespan_of

if TYPE_CHECKING:
    from storycore_tts.live_settings import LiveSettings
    from storycore_tts.settings import QwenTTSConfig

_FAREWELL = 10  # s that requests under way have to end, once the service was told to stop


async def listen(
    config: QwenTTSConfig | LiveSettings,
    announce: Callable[[str], None],
    *,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; what is under way ends, jobs are suspended and kept.

    A second signal cancels what is under way. A third one ends the process at once.

    Args:
        config: The settings.
        announce: Is told the address, once requests are taken.
        stop: Set it to end as a signal would.

    Raises:
        ConfigurationError: The address cannot be listened on, or needs a key.
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
    """Ends every request before it returns, and leaves signals to ``heeding_signals``.

    uvicorn raises a signal again once it has stopped, which would interrupt the closing of all
    that the service has open.

    Args:
        settings: See uvicorn.
        stop: Ends it.
    """

    def __init__(self, settings: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(settings)
        self._stop = stop

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until it is told to stop; a cancelled call ends its requests, too."""
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
            await self._requests_ended()  # uvicorn does not wait for those that it has cancelled

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to stop."""
        return await super().on_tick(counter) or self._stop.is_set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Stop at the first signal, cancel requests at the second, and leave the third alone."""
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
            # Windows has no signal handlers on its loop, and a thread may set none.
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
        """Wait until cancelled requests have taken their jobs off the backend."""
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=_FAREWELL)


def _uvicorn(app: ASGIApp) -> uvicorn.Config:
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


def _with_state(app: ASGIApp, state: Mapping[str, Any]) -> ASGIApp:
    """Hand the state to each request, and answer those that are cut short."""

    async def stateful(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**state}
        sending = Sending(send)
        try:
            await app(scope, receive, sending)
        except asyncio.CancelledError:
            # The outermost frame of a task that only the server cancels: it ends here, answered.
            if not sending.begun:
                await problems.answer(_stopping())(scope, receive, send)

    return stateful


def _stopping() -> problems.Refused:
    return problems.Refused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The service is shutting down.",
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
            hint="Stop what listens there. A second service beside a first one needs another port "
            "and another folder: --port N --state-dir FOLDER.",
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
