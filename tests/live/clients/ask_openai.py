"""OpenAI's package for Python: whole files, streams, events, lists and errors."""

# ruff: noqa: T201 - it tells what came back

import json
import sys
from pathlib import Path

import openai

URL, FOLDER, LINE = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="unused")


def told(asked, data, kind):
    file = FOLDER / f"{len(list(FOLDER.iterdir()))}.{kind}"
    file.write_bytes(data)
    print(json.dumps({"version": openai.__version__, "asked": asked, "file": str(file)}))


whole = client.audio.speech.create(model="tts-1", voice="alloy", input=LINE)
told("tts-1, alloy, whole", whole.read(), "mp3")
nulls = client.audio.speech.create(
    model="gpt-4o-mini-tts", voice="marin", input=LINE, instructions=None, speed=None
)
told("gpt-4o-mini-tts, marin, nulls", nulls.read(), "mp3")
for kind, how in (("wav", {}), ("pcm", {}), ("mp3", {"stream_format": "audio"})):
    with client.audio.speech.with_streaming_response.create(
        model="qwen3-tts", voice="Serena", input=LINE, response_format=kind, **how
    ) as answer:
        told(f"qwen3-tts, Serena, {kind} streamed", b"".join(answer.iter_bytes()), kind)
voices = client.get("/audio/voices", cast_to=dict[str, object])["voices"]
assert "Ryan" in [voice["id"] for voice in voices], voices
assert client.models.retrieve("tts-1").id == "tts-1"
try:
    client.audio.speech.create(model="tts-1", voice="Emily", input=LINE)
    raise SystemExit("an unknown voice was taken")
except openai.BadRequestError as error:
    assert "Ryan" in error.message, error
