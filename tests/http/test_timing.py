"""What the service does after some seconds, on a clock that need not be waited for."""

import asyncio
import gc
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import uvicorn
from sse_starlette import ServerSentEvent
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.server import ServerState

from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.entrypoints.http.disconnects import ClientLeft, while_connected
from storycore_tts.entrypoints.http.jobs import Events
from storycore_tts.entrypoints.http.openai.streaming import StreamOptions, _Streaming, answer
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.entrypoints.http.rates import Rates, Shared
from storycore_tts.entrypoints.http.security.connections import Connection
from storycore_tts.entrypoints.http.security.guard import Guard
from storycore_tts.entrypoints.http.sending import SLOWEST_READER, within
from storycore_tts.ports import SpeechChunk
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech_service import EncodedPiece
from storycore_tts.settings import ServerConfig

pytestmark = pytest.mark.virtual_clock

SCOPE = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.3"}}


def now():
    return asyncio.get_running_loop().time()


async def never():
    await asyncio.Event().wait()


# --- how often each key may ask


async def test_requests_are_counted_in_a_window_that_moves_along():
    rates = Rates(3)
    for _ in range(3):
        rates.count("mia")
        await asyncio.sleep(10)
    with pytest.raises(Refused, match="Rate limit exceeded: 3") as refused:
        rates.count("mia")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "30")
    rates.count("tom")
    await asyncio.sleep(30)
    rates.count("mia")  # her first one was a minute ago, her second one was not
    for _ in range(10):
        with pytest.raises(Refused) as refused:
            rates.count("mia")
    assert refused.value.headers["Retry-After"] == "10"
    assert len(rates._counted["mia"]) <= 3  # a flood takes no more memory


# --- one answer for all


async def test_a_flood_of_questions_reaches_the_backends_once_a_second():
    """/ready needs no key, and asks every backend how it is."""
    asked = []

    async def ask():
        asked.append(now())
        await asyncio.sleep(0.5)
        return len(asked)

    shared = Shared(ask, seconds=1)
    assert set(await asyncio.gather(*(shared.get() for _ in range(100)))) == {1}
    assert await shared.get() == 1
    await asyncio.sleep(1)
    assert await shared.get() == 2
    assert asked == [0, 1.5]


async def test_a_question_of_clients_that_left_ends_with_the_service():
    ended = []

    async def ask():
        try:
            await never()
        finally:
            ended.append(now())

    shared = Shared(ask, seconds=1)
    client = asyncio.ensure_future(shared.get())
    await asyncio.sleep(1)
    client.cancel()
    await asyncio.wait([client])
    assert not ended  # another client may wait for it
    await shared.aclose()
    assert ended == [1]


# --- bodies that come slowly


@pytest.mark.parametrize(("pause", "until"), [(1000, 30), (10, 600)])
async def test_a_body_that_comes_too_slowly_is_given_up(pause, until):
    async def read(request):
        return Response(await request.body())

    async def drips():
        while True:
            yield b"a"
            await asyncio.sleep(pause)

    guarded = Guard(Starlette(routes=[Route("/", read, methods=["POST"])]), ServerConfig())
    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/", content=drips())
    assert answer.status_code == 408
    assert now() == until


async def test_a_body_is_given_up_even_if_its_next_piece_is_always_there():
    async def receive():
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def app(scope, receive, send):
        while True:
            await receive()
            await asyncio.sleep(1)

    scope = {**SCOPE, "path": "/", "headers": [(b"host", b"localhost")]}
    with pytest.raises(HTTPException, match="too slowly"):
        await Guard(app, ServerConfig())(scope, receive, never)
    assert now() == 600


# --- connections


class Wire(asyncio.Transport):
    """The server's end of a connection: what was written to it, and when it was closed."""

    def __init__(self):
        super().__init__()
        self.written, self.closed = b"", None

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = now() if self.closed is None else self.closed

    def is_closing(self):
        return self.closed is not None

    def _goes_on(self, *_):
        pass

    set_protocol = pause_reading = resume_reading = _goes_on


def connected(app):
    """Return a connection to an app, and the wire that it is on."""
    settings = uvicorn.Config(app, lifespan="off", timeout_keep_alive=30, log_config=None)
    settings.load()
    connection, wire = Connection(settings, ServerState(), {}), Wire()
    connection.connection_made(wire)
    return connection, wire


async def slowly(scope, receive, send):
    """Answer after an hour, whatever is asked."""
    await asyncio.sleep(3600)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


GET = b"GET / HTTP/1.1\r\nHost: local"
HEAD = b"POST /slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("said", "dripping"), [(b"", b""), (GET, b""), (GET, b"y")])
async def test_who_never_says_what_they_want_is_hung_up_on(said, dripping):
    """Else a few thousand of them, without any key, would take all connections there are."""
    connection, wire = connected(slowly)
    while wire.closed is None:
        if said:
            connection.data_received(said)
        said = dripping
        await asyncio.sleep(1)
    assert (wire.closed, wire.written) == (30, b"")


async def test_an_answer_that_takes_long_is_waited_for_and_the_next_request_is_not():
    connection, wire = connected(slowly)
    connection.data_received(HEAD + b"0\r\n\r\n")
    await asyncio.sleep(3601)
    assert wire.written.startswith(b"HTTP/1.1 200 OK")
    assert wire.closed is None
    connection.data_received(GET)
    await asyncio.sleep(1000)
    assert wire.closed == 3630


async def test_who_goes_on_sending_what_is_refused_is_cut_off():
    connection, wire = connected(slowly)
    connection.data_received(HEAD)
    while wire.closed is None:
        connection.data_received(b"1\r\na\r\n")
        await asyncio.sleep(1)
    assert wire.written.startswith(b"HTTP/1.1 200 OK")
    assert wire.closed == 3605


# --- clients that stay and take nothing


async def stalled(message):
    if message["type"] == "http.response.body":
        await never()


@pytest.mark.parametrize("kind", [_Streaming, Events])
async def test_a_client_that_stalls_does_not_hold_a_place_forever(kind):
    ended = []

    async def work():
        try:
            while True:
                yield b"speech" if kind is _Streaming else ServerSentEvent("news", event="job")
        finally:
            ended.append(now())

    pieces = work()
    streaming = kind is _Streaming
    stalling = _Streaming(pieces, pieces, "audio/pcm", {}) if streaming else Events(pieces)
    await stalling(SCOPE, never, stalled)
    assert ended == [SLOWEST_READER]


# --- cancelled by those who wait


async def test_a_time_limit_swallows_no_cancellation():
    """As asyncio.wait_for does before Python 3.12, when both come at the same moment."""
    sent = asyncio.Event()

    async def send(_):
        await sent.wait()

    async def goes_on():
        await within(60, send)({"type": "http.response.body"})
        await asyncio.sleep(0)

    task = asyncio.ensure_future(goes_on())
    await asyncio.sleep(1)
    sent.set()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_hangs_up_ends_the_work_and_hears_nothing_of_its_errors(caplog):
    async def work():
        try:
            await never()
        finally:
            raise RuntimeError("while it was cancelled")

    async def receive():
        await asyncio.sleep(5)
        return {"type": "http.disconnect"}

    with pytest.raises(ClientLeft):
        await while_connected(Request(SCOPE, receive), work())
    assert now() == 5
    gc.collect()
    assert not caplog.records


async def test_a_stream_whose_request_is_cancelled_before_it_is_sent_ends_its_work():
    given, ended = [], []

    async def stream(*_):
        try:
            given.append(True)
            yield EncodedPiece(
                b"speech", 0.1, SpeechChunk(np.zeros(2400, np.float32), 24_000, 0.0, 7)
            )
        finally:
            ended.append(True)

    pieces = stream()
    speech_service = SimpleNamespace(stream=lambda *_, **how: pieces)
    wanted = SpeechRequest("Hello.", "Ryan")
    how = StreamOptions(Rendering("pcm"), stream_format=None, stream=True, characters=6)
    asked = asyncio.ensure_future(answer(Request(SCOPE, never), speech_service, None, wanted, how))
    while not given:
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert ended


async def test_a_connection_that_breaks_is_told_as_what_it_is():
    async def receive():
        raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        await while_connected(Request(SCOPE, receive), never())
