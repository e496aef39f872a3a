"""What lies around the job: names, certificates, proxies, clocks, restarts and other people."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from storycore_tts import BackendUnavailable, JobCancelled

from .conftest import HURRIED

TLS = Path(__file__).parents[1] / "comfyui" / "tls"
CERTIFICATE = str(TLS / "cert.pem")
TWICE = {"attempts": 2, "initial_seconds": 0.05}


@pytest.fixture
def nobody() -> int:
    """A port where nobody listens, as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


# Names ------------------------------------------------------------------------------------------


async def test_a_name_that_does_not_resolve(run, no_proxies):
    ended = await run(
        "speak",
        error=BackendUnavailable,
        generated=0,
        comfyui_url="http://nobody.invalid:8188",
        retry=TWICE,
    )
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
async def test_a_certificate_that_nobody_vouches_for(run, no_proxies):
    async with tls_before(run.proxy.port) as url:
        ended = await run("speak", error=BackendUnavailable, generated=0, comfyui_url=url)
    assert "verify_tls" in ended.error.hint
    assert not ended.error.retryable


@failed_handshakes
async def test_http_to_a_server_that_speaks_tls(run, no_proxies):
    async with tls_before(run.proxy.port) as url:
        plain = url.replace("https", "http")
        ended = await run("speak", error=BackendUnavailable, generated=0, comfyui_url=plain)
    assert "https://" in ended.error.hint


async def test_https_to_a_server_that_speaks_plain_http(run, no_proxies):
    secure = run.proxy.url.replace("http", "https")
    ended = await run("speak", error=BackendUnavailable, generated=0, comfyui_url=secure)
    assert "http://" in ended.error.hint


# Proxies ----------------------------------------------------------------------------------------


async def test_a_proxy_that_is_not_there(run, no_proxies, nobody):
    no_proxies.setenv("HTTP_PROXY", f"http://127.0.0.1:{nobody}")
    ended = await run("speak", error=BackendUnavailable, generated=0, retry=TWICE)
    assert "HTTP_PROXY" in ended.error.hint


async def test_a_way_past_a_proxy_that_is_not_there(run, no_proxies, nobody):
    no_proxies.setenv("HTTP_PROXY", f"http://127.0.0.1:{nobody}")
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

# Where the job stands, how often it is generated in all, and whose job it is.
POINTS = [("queue", 1, "clone"), ("running", 2, "train"), ("history", 2, "speak")]


@pytest.mark.parametrize("modern", [False, True], ids=["0.3.64", "modern"])
@pytest.mark.parametrize(("point", "generated", "port"), POINTS)
async def test_a_server_that_dies_and_returns_does_the_job_once_more(
    make_run, modern, point, generated, port
):
    run = make_run(modern=modern)
    gate = run.server.faults.hold(point)
    run.hide_the_outputs()

    async def crash(_):
        await run.is_at(gate)
        await asyncio.to_thread(run.server.restart, down_seconds=0.2)

    ended = await run(port, meanwhile=crash, lost=1, generated=generated)
    assert any("was given it again" in warning for warning in ended.result.warnings)


@pytest.mark.parametrize("point", ["queue", "running", "history"])
async def test_a_server_that_dies_for_good_is_given_up(run, point):
    gate = run.server.faults.hold(point)
    run.hide_the_outputs()

    async def die(_):
        await run.is_at(gate)
        await asyncio.to_thread(run.server.stop)

    ended = await run(
        "speak",
        error=BackendUnavailable,
        meanwhile=die,
        lost=1,
        timeouts={"away": 0.5, "cancel": 0.5},
    )
    assert not ended.error.retryable


@pytest.mark.parametrize(
    ("trouble", "point", "port"),
    [
        ("down", "running", "train"),
        ("down", "history", "clone"),
        ("half_open", "running", "speak"),
        ("half_open", "history", "train"),
    ],
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


# Other people -----------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["queue", "running"])
async def test_another_client_cancels_the_job_on_a_modern_server(make_run, point):
    run = make_run(modern=True)
    gate = run.server.faults.hold(point)
    run.hide_the_outputs()

    async def cancel(_):
        await run.is_at(gate)
        [job] = run.server.log.submitted
        async with httpx.AsyncClient(base_url=run.server.url, trust_env=False) as another:
            (await another.post(f"/api/jobs/{job}/cancel")).raise_for_status()
        gate.release()

    ended = await run("speak", error=JobCancelled, meanwhile=cancel)
    assert "another client" in ended.error.message.lower()
    assert not ended.error.retryable
