"""LiveKit's plugin: server-sent events for the newer models, bytes for tts-1."""

# ruff: noqa: T201 - it tells what came back

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

from livekit.agents import APIConnectOptions, APIError
from livekit.plugins import openai

URL, FOLDER, LINE = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
ONCE = APIConnectOptions(max_retry=0)


async def spoken(**how):
    tts = openai.TTS(base_url=f"{URL}/v1", api_key="unused", **how)
    try:
        async with tts.synthesize(LINE, conn_options=ONCE) as stream:
            return b"".join([bytes(event.frame.data) async for event in stream])
    finally:
        await tts.aclose()


async def main():
    for number, how in enumerate(
        ({}, {"model": "tts-1"}, {"response_format": "wav"}, {"response_format": "pcm"})
    ):
        file = FOLDER / f"{number}.pcm"
        file.write_bytes(await spoken(**how))
        asked = ", ".join(how.values()) or "as shipped (events, mp3)"
        told = {"version": version("livekit-plugins-openai"), "asked": asked, "file": str(file)}
        print(json.dumps(told))
    try:
        await spoken(voice="Emily")
        raise SystemExit("an unknown voice was taken")
    except APIError as error:
        assert "Ryan" in str(error), error


asyncio.run(main())
