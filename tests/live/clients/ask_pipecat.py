"""Pipecat's service in a pipeline; it takes OpenAI's voices only."""

# ruff: noqa: T201 - it tells what came back

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

from pipecat.frames.frames import ErrorFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import run_test

URL, FOLDER, LINE = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


async def main():
    for number, voice in enumerate(("alloy", "verse")):
        settings = OpenAITTSService.Settings(voice=voice)
        service = OpenAITTSService(
            api_key="unused", base_url=f"{URL}/v1", settings=settings, sample_rate=24000
        )
        frames, back = await run_test(service, frames_to_send=[TTSSpeakFrame(LINE)])
        failed = [frame for frame in (*frames, *back) if isinstance(frame, ErrorFrame)]
        assert not failed, failed
        file = FOLDER / f"{number}.pcm"
        file.write_bytes(b"".join(f.audio for f in frames if isinstance(f, TTSAudioRawFrame)))
        told = {"version": version("pipecat-ai"), "asked": voice, "file": str(file)}
        print(json.dumps(told))


asyncio.run(main())
