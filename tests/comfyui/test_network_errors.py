"""What stands between us and the server has messages of its own: names, certificates, proxies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from storycore_tts import (
    BackendTimeout,
    BackendUnavailable,
    CloneRequest,
    QwenTTSConfig,
    SpeechRequest,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.comfyui import Answer, Hang, ResetAfter

# Made for 127.0.0.1 by openssl, signed by itself, good for a hundred years, used nowhere else.
TLS = Path(__file__).parent / "tls"
LINE = SpeechRequest("Hello, this is a test.", "Ryan")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "SOCKS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def answering(
    answer: bytes | None, *, tls: bool = False
) -> AsyncIterator[Callable[[str], str]]:
    """Listen on a port, answer every request alike, and yield what makes the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(65_536) and answer is not None:
            writer.write(answer)
        writer.close()

    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    yield lambda scheme: f"{scheme}://127.0.0.1:{port}"
    server.close()


def raw(status: str, body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def failure(url: str, **comfyui: object) -> BackendUnavailable:
    adapter = ComfyUIAdapter(QwenTTSConfig(comfyui_url=url, comfyui=comfyui))
    with pytest.raises(BackendUnavailable) as failed:
        await asyncio.wait_for(adapter.synthesize(LINE), 10)
    await adapter.aclose()
    return failed.value


async def test_a_name_that_cannot_be_resolved():
    error = await failure("http://no-such-host.invalid:8188")
    assert "the host name no-such-host.invalid cannot be resolved" in str(error)
    assert "tts.qwen.comfyui_url" in error.hint
    assert error.retryable
    assert error.retry_after > QwenTTSConfig().retry.longest_retry_after  # not again within seconds


async def test_a_certificate_that_nobody_signed():
    async with answering(raw("200 OK", b"{}"), tls=True) as url:
        error = await failure(url("https"))
        assert "certificate" in str(error)
        assert "tts.qwen.comfyui.verify_tls" in error.hint
        assert not error.retryable


@pytest.mark.parametrize("verify", [False, str(TLS / "cert.pem")])
async def test_a_certificate_that_is_trusted(verify):
    async with answering(raw("200 OK", b"{}"), tls=True) as url:
        assert "does not behave like ComfyUI" in str(await failure(url("https"), verify_tls=verify))


async def test_https_to_a_server_that_speaks_http():
    async with answering(raw("400 Bad Request")) as url:
        error = await failure(url("https"))
    assert "uses plain HTTP" in str(error)
    assert "http://" in error.hint
    assert not error.retryable


async def test_http_to_a_server_that_speaks_tls():
    """Python's own servers, ComfyUI among them, just hang up."""
    async with answering(raw("200 OK"), tls=True) as url:
        error = await failure(url("http"))
    assert "requires https" in str(error)
    assert "https://" in error.hint
    assert not error.retryable


async def test_http_to_a_server_that_says_that_it_speaks_tls():
    said = b"<h1>400</h1> The plain HTTP request was sent to HTTPS port"
    async with answering(raw("400 Bad Request", said)) as url:
        error = await failure(url("http"))
    assert "requires https" in str(error)
    assert not error.retryable


async def test_a_server_that_hangs_up_and_speaks_no_tls_either():
    async with answering(None) as url:
        error = await failure(url("http"))
    assert "failed: Server disconnected" in str(error)
    assert error.retryable


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_credentials(monkeypatch, scheme):
    async with answering(raw("407 Proxy Authentication Required")) as url:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", url("http"))
        error = await failure(f"{scheme}://comfyui.example:8188")
    assert "The proxy for" in str(error)
    assert "407" in str(error)
    assert "NO_PROXY" in error.hint
    assert not error.retryable


async def test_a_proxy_that_refuses(monkeypatch):
    async with answering(raw("403 Forbidden")) as url:
        monkeypatch.setenv("ALL_PROXY", url("http"))
        error = await failure("https://comfyui.example:8188")
    assert "The proxy for" in str(error)
    assert "HTTPS_PROXY" in error.hint


async def test_a_proxy_that_is_not_there(monkeypatch):
    async with answering(None) as url:
        gone = url("http")
    monkeypatch.setenv("HTTP_PROXY", gone)
    error = await failure("http://comfyui.example:8188")
    assert "A proxy is configured" in error.hint
    assert "NO_PROXY" in error.hint


async def test_a_socks_proxy_for_which_the_package_is_missing(monkeypatch, server, adapter):
    """Only the WebSocket asks for it, and a job does without the WebSocket."""
    monkeypatch.setenv("SOCKS_PROXY", "socks5://127.0.0.1:9")
    speech = await asyncio.wait_for(adapter.synthesize(LINE), 20)
    assert server.log.submitted == [speech.job_id]


@pytest.mark.parametrize("path", ["/prompt", "/view"])
async def test_a_job_outlives_an_answer_that_cannot_be_decompressed(server, adapter, path):
    garbage = {"Content-Encoding": "gzip"}
    server.faults.add(Answer(path=path, status=200, headers=garbage, body="garbage"))
    speech = await asyncio.wait_for(adapter.synthesize(LINE), 20)
    assert server.log.submitted == [speech.job_id]
    assert server.faults.pending == []


@pytest.mark.parametrize("path", ["/system_stats", "/object_info/*"])
async def test_an_answer_that_cannot_be_decompressed_says_so(server, adapter, path):
    garbage = {"Content-Encoding": "gzip"}
    server.faults.add(Answer(path=path, status=200, headers=garbage, body="garbage"))
    with pytest.raises(BackendUnavailable, match="decompress") as failed:
        await adapter.synthesize(LINE)
    assert failed.value.retryable


async def test_a_reference_that_the_servers_disk_does_not_take(server, adapter, reference):
    server.faults.add(Answer(path="/upload/image", status=500))
    with pytest.raises(BackendUnavailable) as failed:
        await adapter.clone(CloneRequest("Hello.", reference, x_vector_only=True))
    assert "disk full" in failed.value.hint
    assert failed.value.retryable


async def test_a_cut_upload_may_be_asked_again(server, adapter, reference):
    server.faults.add(ResetAfter(path="/upload/image"))
    with pytest.raises(BackendUnavailable) as failed:
        await adapter.clone(CloneRequest("Hello.", reference, x_vector_only=True))
    assert failed.value.retryable
    assert server.log.submitted == []


async def test_an_upload_that_hangs_ends(server, make_adapter, reference):
    server.faults.add(Hang(path="/upload/image"))
    with pytest.raises(BackendTimeout):
        await make_adapter(server.url, request=0.3).clone(
            CloneRequest("Hello.", reference, x_vector_only=True)
        )
