"""A client that takes nothing of a stream and does not leave either."""

import asyncio

from storycore_tts.entrypoints.http.openai import speech


async def test_a_client_that_stalls_does_not_hold_a_place_forever(monkeypatch):
    monkeypatch.setattr(speech, "_SLOWEST_READER", 0.05)
    ended = asyncio.Event()

    async def work():
        try:
            while True:
                yield b"speech"
        finally:
            ended.set()

    async def receive():
        await asyncio.Event().wait()  # it stays

    async def send(message):
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()  # and takes nothing

    pieces = work()
    answer = speech._Streaming(pieces, pieces, "audio/pcm")
    await answer({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert ended.is_set()
