"""Real clients and a real server on both sides of the proxy, and bytes that are anything at all."""

from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.testing.proxy import Cut
from storycore_tts.testing.proxy.requests import Requests


@pytest.fixture
def proxy(server, faulty_proxy_factory):
    return faulty_proxy_factory(server.url)


@pytest.fixture
async def client(proxy, connect):
    """With its HTTP connection and its socket through the proxy."""
    return await connect(proxy)


async def test_nothing_is_changed_when_no_rule_is_there(
    proxy, server, client, connect, voice_graph
):
    direct = await connect(server, "bob")
    await client.run(voice_graph())
    view = {"filename": "cv_00001_.flac", "subfolder": "lab", "type": "output"}
    through = await client.http.get("/view", params=view)
    assert through.content == (await direct.http.get("/view", params=view)).content
    upload = await client.upload("voice.wav", bytes(range(256)) * 5_000)
    assert upload.status_code == 200
    assert proxy.connections == 2  # the socket, and one that HTTP keeps alive
    assert [line.split(b"?")[0] for line in proxy.log.requests] == [
        b"GET /ws", b"POST /prompt HTTP/1.1", b"GET /view", b"POST /upload/image HTTP/1.1",
    ]  # fmt: skip


@pytest.mark.parametrize("direction", ["request", "response"])
def test_the_bytes_of_a_socket_count_on_after_its_handshake(wire, direction):
    ask = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    agree = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    handshake = len(ask if direction == "request" else agree)
    wire.proxy.add(Cut(request=b"GET /ws", direction=direction, after_bytes=handshake + 8))
    client, server = wire.connect()
    client.send(ask)
    assert server.read(len(ask)) == ask
    for byte in agree:
        server.send(bytes([byte]))
    assert client.read(len(agree)) == agree
    sender, receiver = (client, server) if direction == "request" else (server, client)
    sender.send(b"GET / HTTP/1.1\r\n\r\n")
    assert receiver.read_all() == b"GET / HT"
    assert wire.proxy.log.requests == [b"GET /ws HTTP/1.1"]


async def test_a_server_that_restarts_elsewhere(proxy, server, client, standin_comfyui_factory):
    other = standin_comfyui_factory(instant=True, version="9.9")
    proxy.retarget(other.url)
    proxy.down()
    with pytest.raises(httpx.TransportError):
        await client.http.get("/system_stats")
    proxy.up()
    stats = (await client.http.get("/system_stats")).json()
    assert stats["system"]["comfyui_version"] == "9.9"


# Anything at all ------------------------------------------------------------------------------


tokens = st.sampled_from(
    [b"GET ", b"POST ", b"/prompt", b" HTTP/1.1", b"\r\n", b"\n", b"\r\n\r\n", b"0\r\n\r\n",
     b"5;x\r\n", b"GET / HTTP/1.1\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
     b"Transfer-Encoding: chunked\r\n"]
)  # fmt: skip
fragments = st.lists(st.binary(min_size=1, max_size=40) | tokens, max_size=20)


@st.composite
def request(draw):
    method = draw(st.sampled_from([b"GET", b"POST", b"DELETE"]))
    line = method + b" /" + draw(st.from_regex(rb"[a-z?=/%]{0,20}", fullmatch=True)) + b" HTTP/1.1"
    body = draw(st.lists(st.binary(min_size=1, max_size=60) | tokens, max_size=6))
    if draw(st.booleans()):
        head = b"transfer-encoding: chunked"
        data = b"".join(b"%X\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*body, b""])
    else:
        data = b"".join(body)
        head = b"Content-Length: %d" % len(data)
    return line, line + b"\r\nHost: here\r\n" + head + b"\r\n\r\n" + data


def forwarded(pieces):
    """What a proxy makes of a client's bytes that come in pieces: first lines, bytes, sends."""
    waiting, lines, sent = list(pieces), [], []

    async def receive():
        return waiting.pop(0) if waiting else b""

    async def send(data):
        sent.append(data)

    asyncio.run(Requests(receive, send, lines.append, lambda: False).forward())
    return lines, b"".join(sent)


@settings(max_examples=30, deadline=None)
@given(fragments)
def test_whatever_a_client_sends_arrives_unchanged(pieces):
    _, arrived = forwarded(pieces)
    assert arrived == b"".join(pieces)


@settings(max_examples=30, deadline=None)
@given(st.lists(request(), min_size=1, max_size=5), st.data())
def test_requests_are_found_however_their_bytes_are_cut_up(requests, data):
    stream = b"".join(whole for _, whole in requests)
    cuts = data.draw(st.lists(st.integers(1, len(stream)), max_size=30, unique=True).map(sorted))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges) if a < b]
    assert forwarded(pieces) == ([line for line, _ in requests], stream)


def test_a_request_goes_on_as_it_comes_once_its_first_line_is_there(wire):
    client, server = wire.connect()
    client.send(b"POST /prompt HT")
    assert server.hears_nothing()
    client.send(b"TP/1.1\r\n")
    assert server.read(23) == b"POST /prompt HTTP/1.1\r\n"
    for piece in (b"Content-Le", b"ngth: 3\r\n\r", b"\na", b"b", b"c", b"GET / HTTP/1.1\n"):
        client.send(piece)
        assert server.read(len(piece)) == piece
    assert wire.proxy.log.requests == [b"POST /prompt HTTP/1.1", b"GET / HTTP/1.1"]
