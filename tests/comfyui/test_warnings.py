"""What is done in spite of doubts is said in the result."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from storycore_tts import (
    CloneRequest,
    QwenTTSConfig,
    ReferenceAudio,
    Sampling,
    SpeechRequest,
    open_tts,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.comfyui import StandInComfyUI


def tone(seconds: float, transcript: str | None = None) -> ReferenceAudio:
    samples = 0.3 * np.sin(np.arange(int(24_000 * seconds)) * 2 * np.pi * 220 / 24_000)
    return ReferenceAudio(samples.astype(np.float32), transcript=transcript)


async def test_instruct_with_the_small_model(server: StandInComfyUI):
    config = QwenTTSConfig(comfyui_url=server.url, model_choice="0.6B")
    adapter = ComfyUIAdapter(config)
    speech = await adapter.synthesize(SpeechRequest("Hello.", "Ryan", instruct="whisper"))
    await adapter.aclose()
    assert "ignores instruct" in speech.warnings[0]


@pytest.mark.parametrize(
    ("reference", "warning"),
    [
        (tone(1.0), "1.0 s long"),
        (tone(20.0), "20.0 s long"),
        (tone(4.0, "This " * 60), "a transcript of other words"),
    ],
)
async def test_a_doubtful_reference(adapter: ComfyUIAdapter, reference, warning):
    only = reference.transcript is None
    speech = await adapter.clone(CloneRequest("Hello.", reference, x_vector_only=only))
    assert any(warning in said for said in speech.warnings)


async def test_a_good_reference_gives_no_warning(adapter: ComfyUIAdapter):
    known = tone(4.0, "The tone goes on and on and on and on and on.")
    assert (await adapter.clone(CloneRequest("Hello.", known))).warnings == ()


class WithoutTemperature(httpx.AsyncHTTPTransport):
    """Reaches a server whose nodes are of an old version, without that input."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if not request.url.path.startswith("/object_info"):
            return answer
        nodes = json.loads(await answer.aread())
        await answer.aclose()
        for node in nodes.values():
            node["input"].get("optional", {}).pop("temperature", None)
        return httpx.Response(200, json=nodes)


async def test_a_parameter_that_an_old_node_lacks_is_named(server: StandInComfyUI):
    config = QwenTTSConfig(comfyui_url=server.url)
    adapter = ComfyUIAdapter(config, transport=WithoutTemperature())
    cool = Sampling(temperature=0.5)
    line = SpeechRequest("Hello.", "Ryan", sampling=cool)
    clone = CloneRequest("Hello.", tone(4.0), x_vector_only=True, sampling=cool)
    made = [await adapter.synthesize(line), await adapter.clone(clone)]
    plain = await adapter.synthesize(SpeechRequest("Hello.", "Ryan"))
    await adapter.aclose()
    for speech in made:
        assert any("comfyui ignores temperature: the node" in said for said in speech.warnings)
    assert plain.warnings == ()


async def test_a_parameter_that_no_node_has_is_named(server: StandInComfyUI):
    async with open_tts(QwenTTSConfig(comfyui_url=server.url)) as tts:
        speech = await tts.say("Hello.", sampling=Sampling(subtalker_temperature=0.5))
    ignored = "comfyui ignores subtalker_temperature: it has no such parameter"
    assert speech.warnings == (ignored,)
