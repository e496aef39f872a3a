"""What is done in spite of doubts is said in the result."""

from __future__ import annotations

import numpy as np
import pytest

from storycore_tts import CloneRequest, QwenTTSConfig, ReferenceAudio, SpeechRequest
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
    assert "does not listen to instruct" in speech.warnings[0]


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
