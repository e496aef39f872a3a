"""Whatever is thrown at it: speech or a typed error, never a hang, never anything else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storycore_tts import (
    CloneRequest,
    InvalidReferenceAudio,
    QwenTTSConfig,
    ReferenceAudio,
    SpeechRequest,
    TTSError,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.domain.audio import encode
from storycore_tts.testing.comfyui import Answer, InjectFrame, StandInComfyUI

on_one_server = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
any_text = st.text(st.characters(codec=None), max_size=300)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@pytest.fixture
def server(standin_comfyui_factory: Callable[..., StandInComfyUI]) -> StandInComfyUI:
    return standin_comfyui_factory(instant=True)


@on_one_server
@given(text=any_text, instruct=any_text, speaker=st.sampled_from(["Ryan", "vivian"]) | any_text)
@example(text="a" * 100_000, instruct="", speaker="Ryan")
@example(text="👩‍👩‍👧‍👦 שלום \u202e abc \x00\x07", instruct="\ud800", speaker="Ryan")
@example(text="[break=999999999]", instruct="", speaker="Ryan")
async def test_any_text(adapter: ComfyUIAdapter, text: str, instruct: str, speaker: str):
    try:
        request = SpeechRequest(text, speaker, instruct=instruct)
        speech = await asyncio.wait_for(adapter.synthesize(request), 10)
    except TTSError as error:
        assert str(error)
    else:
        assert speech.duration > 0.5


@st.composite
def broken_audio(draw: st.DrawFn) -> bytes:
    """An audio file that was cut, flipped, spliced, or never was one."""
    tone = (0.3 * np.sin(np.arange(24_000) / 20)).astype(np.float32)
    data = bytearray(encode(tone, 24_000, draw(st.sampled_from([".wav", ".flac", ".ogg", ".mp3"]))))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    for _ in range(draw(st.integers(0, 12))):
        if data:
            data[draw(st.integers(0, min(len(data), 200) - 1))] = draw(st.integers(0, 255))
    return bytes(data) if draw(st.booleans()) else bytes(data) + draw(st.binary(max_size=64))


@on_one_server
@given(data=broken_audio() | st.binary(max_size=400))
async def test_any_reference(adapter: ComfyUIAdapter, data: bytes):
    try:
        reference = ReferenceAudio.from_bytes(data)
    except InvalidReferenceAudio:
        return
    speech = await asyncio.wait_for(
        adapter.clone(CloneRequest("Hello.", reference, x_vector_only=True)), 10
    )
    assert speech.duration > 0.5


@on_one_server
@pytest.mark.timeout(300)  # many of its hundred answers take a second until they count as none
@given(
    body=json_values.map(json.dumps) | st.text(max_size=40),
    path=st.sampled_from(
        ["/system_stats", "/object_info/*", "/prompt", "/queue", "/history/*", "/view"]
    ),
)
async def test_any_answer(server: StandInComfyUI, look_often: None, body: str, path: str):
    """A server that answers a step with nonsense."""
    config = QwenTTSConfig(
        comfyui_url=server.url,
        comfyui={"timeouts": {"job": 1.0, "away": 0.3, "request": 1.0, "cancel": 1.0}},
    )
    adapter = ComfyUIAdapter(config)
    nonsense = Answer(path=path, status=200, body=body.encode("utf-8", "replace"), times=None)
    server.faults.add(nonsense)
    try:
        speech = await asyncio.wait_for(adapter.synthesize(SpeechRequest("Hello.", "Ryan")), 10)
    except TTSError as error:
        assert str(error)
    else:
        assert speech.duration > 0.5
    finally:
        server.faults.clear()
        await adapter.aclose()


@on_one_server
@given(frame=json_values.map(json.dumps) | st.text(max_size=40) | st.binary(max_size=40))
async def test_any_frame(server: StandInComfyUI, adapter: ComfyUIAdapter, frame: str | bytes):
    """A WebSocket that says nonsense does not keep the audio back."""
    payload = frame.encode("utf-8", "replace").decode() if isinstance(frame, str) else frame
    server.faults.add(InjectFrame(frame=payload, on="execution_start"))
    speech = await asyncio.wait_for(adapter.synthesize(SpeechRequest("Hello.", "Ryan")), 10)
    assert speech.duration > 0.5
