"""What lies around the job: names, certificates, proxies, clocks and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storycore_tts import BackendUnavailable

from .conftest import HURRIED

TLS = Path(__file__).parents[1] / "comfyui" / "tls"
CERTIFICATE = str(TLS / "cert.pem")
TWICE = {"attempts": 2, "initial_seconds": 0.05}


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


# Names ------------------------------------------------------------------------------------------


async def test_a_name_that_does_not_resolve(run, no_proxies):
    url = "http://nobody.invalid:8188"
    ended = await run("speak", error=BackendUnavailable, generated=0, comfyui_url=url, retry=TWICE)
    assert "nobody.invalid cannot be resolved" in str(ended.error)


# TLS --------------------------------------------------------------------------------------------


# Python 3.10's own, of handshakes that fail.
failed_handshakes = pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")


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
    gc.collect()  # while the warnings below are ignored


async def piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@failed_handshakes
@pytest.mark.parametrize("verify", [False, CERTIFICATE], ids=["unverified", "own-authority"])
async def test_tls_carries_everything(run, no_proxies, verify):
    async with tls_before(run.proxy.port) as url:
        await run("clone", comfyui_url=url, comfyui={"verify_tls": verify})


@failed_handshakes
@pytest.mark.parametrize(
    ("server", "url", "hint"),
    [("tls", "https", "verify_tls"), ("tls", "http", "https://"), ("plain", "https", "http://")],
    ids=["unknown-authority", "http-to-tls", "tls-to-http"],
)
async def test_a_handshake_that_fails_says_what_to_change(run, no_proxies, server, url, hint):
    async with tls_before(run.proxy.port) as secure:
        there = secure if server == "tls" else run.proxy.url
        url += f"://{there.partition('://')[2]}"
        ended = await run("speak", error=BackendUnavailable, generated=0, comfyui_url=url)
    assert hint in ended.error.hint
    assert hint != "verify_tls" or not ended.error.retryable


# Proxies ----------------------------------------------------------------------------------------


async def test_a_proxy_that_is_not_there_and_a_way_past_it(run, no_proxies, nobody):
    no_proxies.setenv("HTTP_PROXY", nobody)
    ended = await run("speak", error=BackendUnavailable, generated=0, retry=TWICE)
    assert "HTTP_PROXY" in ended.error.hint
    no_proxies.setenv("NO_PROXY", "127.0.0.1")
    await run("clone")


async def test_a_proxy_that_wants_credentials_is_asked_once(run, no_proxies):
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    seen: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen.append(head.partition(b" ")[0])
                writer.write(refusal)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        no_proxies.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        ended = await run("speak", error=BackendUnavailable, generated=0)
    assert "407" in ended.error.message
    assert "HTTP_PROXY" in ended.error.hint
    assert seen.count(b"GET") == 1, "credentials do not come by themselves"


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
