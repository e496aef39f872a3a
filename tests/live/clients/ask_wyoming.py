"""wyoming_openai as Home Assistant talks to it: what it found, and a line that it speaks."""

# ruff: noqa: T201 - it tells what came back

import asyncio
import json
import socket
import sys
import wave
from importlib.metadata import version
from pathlib import Path

from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeVoice

URL, FOLDER, LINE = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


async def described(client):
    await client.write_event(Describe().event())
    info = Info.from_event(await client.read_event())
    return [voice for program in info.tts for voice in program.voices]


async def spoken(client, voice, file):
    await client.write_event(Synthesize(LINE, voice=SynthesizeVoice(name=voice)).event())
    chunks = []
    while not AudioStop.is_type((event := await client.read_event()).type):
        assert not Error.is_type(event.type), event
        if AudioChunk.is_type(event.type):
            chunks.append(AudioChunk.from_event(event))
    with wave.open(str(file), "wb") as out:
        out.setframerate(chunks[0].rate)
        out.setsampwidth(chunks[0].width)
        out.setnchannels(chunks[0].channels)
        out.writeframes(b"".join(chunk.audio for chunk in chunks))


async def connected(port, bridge):
    while True:
        try:
            return AsyncTcpClient("127.0.0.1", port), await asyncio.open_connection(
                "127.0.0.1", port
            )
        except OSError:
            assert bridge.returncode is None, "wyoming_openai has ended"
            await asyncio.sleep(0.2)


async def main():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bridge = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wyoming_openai", "--uri", f"tcp://127.0.0.1:{port}"),
        *("--tts-openai-url", f"{URL}/v1", "--tts-models", "tts-1", "--languages", "en"),
    )
    try:
        client, (_, writer) = await connected(port, bridge)
        writer.close()
        async with client:
            names = [voice.name for voice in await described(client)]
            assert {"Ryan", "Serena"} <= set(names), names
            for number, voice in enumerate(("Serena", "Ryan")):
                file = FOLDER / f"{number}.wav"
                await spoken(client, voice, file)
                asked = f"{voice}, of the {len(names)} voices that it found"
                told = {"version": version("wyoming-openai"), "asked": asked, "file": str(file)}
                print(json.dumps(told))
    finally:
        bridge.terminate()
        await bridge.wait()


asyncio.run(main())
