"""What lies around the job: certificates, proxies, clocks and restarts.

What each of them says that goes wrong: tests/comfyui/test_network_errors.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storycore_tts import BackendUnavailable

from .conftest import HURRIED

TLS = Path(__file__).parents[1] / "comfyui" / "tls"
CERTIFICATE = str(TLS / "cert.pem")


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


# TLS --------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def tls_before(port: int) -> AsyncIterator[str]:
    """A server that speaks TLS, with a certificate of its own making, and passes everything on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, TLS / "key.pem")

    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(piped(reader, other_writer), piped(other_reader, writer))
        finally:
            writer.transport.abort()
            other_writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    if served:
        await asyncio.wait(served, timeout=5)


async def piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_tls_carries_everything(run, no_proxies):
    async with tls_before(run.proxy.port) as url:
        await run("clone", comfyui_url=url, comfyui={"verify_tls": CERTIFICATE})


# Proxies ----------------------------------------------------------------------------------------


async def test_a_way_past_a_proxy_that_is_not_there(run, no_proxies, nobody):
    no_proxies.setenv("HTTP_PROXY", nobody)
    no_proxies.setenv("NO_PROXY", "127.0.0.1")
    await run("clone")


# Clocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, -1])
async def test_the_clock_jumps(run, monkeypatch, days):
    gate, now = run.server.faults.hold("running"), time.time

    async def jump(_):
        await run.is_at(gate)
        monkeypatch.setattr(time, "time", lambda: now() + days * 86_400)
        gate.release()

    timings = (await run("speak", meanwhile=jump)).result.timings
    assert 0 <= timings.queued + timings.generating <= timings.total < 60


# Restarts ---------------------------------------------------------------------------------------


async def test_a_server_that_dies_for_good_is_given_up(run):
    """One that returns does the job once more: test_server_killed.py."""
    gate = run.server.faults.hold("running")

    async def die(_):
        await run.is_at(gate)
        await asyncio.to_thread(run.server.stop)

    waits = {"away": 0.5, "cancel": 0.5}
    ended = await run("speak", error=BackendUnavailable, meanwhile=die, lost=1, timeouts=waits)
    assert not ended.error.retryable


@pytest.mark.parametrize(
    ("trouble", "point", "port"), [("down", "running", "train"), ("half_open", "history", "speak")]
)
async def test_a_network_that_goes_and_returns_loses_no_job(run, trouble, point, port):
    gate = run.server.faults.hold(point)
    run.hide_the_outputs()

    async def cut(_):
        await run.is_at(gate)
        await asyncio.to_thread(getattr(run.proxy, trouble))
        gate.release()
        assert await run.server.log.until(lambda log: log.executed_ids)
        run.proxy.up()

    await run(port, meanwhile=cut, timeouts=HURRIED)
