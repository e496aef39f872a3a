"""Any text, any reference, any answer, any frame: speech or a typed error, and never a hang."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storycore_tts import (
    CloneRequest,
    InvalidReferenceAudio,
    ReferenceAudio,
    SpeechRequest,
    TTSError,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.sound.files import encode

from .memory_server import MemoryComfyUI

pytestmark = pytest.mark.virtual_clock
LINE = SpeechRequest("Hello.", "Ryan")

any_text = st.text(st.characters(codec=None), max_size=300)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
ROUTES = ["/system_stats", "/object_info", "/prompt", "/queue", "/history", "/view", "/upload"]


async def ends_well_or_typed(
    adapter: ComfyUIAdapter, request: SpeechRequest | CloneRequest
) -> None:
    """Any wait is over within a virtual hour."""
    call = adapter.clone if isinstance(request, CloneRequest) else adapter.synthesize
    try:
        speech = await asyncio.wait_for(call(request), 3600)  # type: ignore[operator]
    except TTSError as error:
        assert str(error)
    else:
        assert speech.duration > 0.5
    finally:
        await adapter.aclose()


@given(text=any_text, instruct=any_text, speaker=st.sampled_from(["Ryan", "vivian"]) | any_text)
@example(text="a" * 100_000, instruct="", speaker="Ryan")
@example(text="👩‍👩‍👧‍👦 שלום \u202e abc \x00\x07", instruct="\ud800", speaker="Ryan")
@example(text="[break=999999999]", instruct="", speaker="Ryan")
async def test_any_text(text: str, instruct: str, speaker: str):
    try:
        request = SpeechRequest(text, speaker, instruct=instruct)
    except TTSError as error:
        assert str(error)
    else:
        await ends_well_or_typed(MemoryComfyUI(instant=True).adapter(), request)


# Encoded once: an Ogg file has another serial number each time, and Hypothesis draws twice.
TONE = (0.3 * np.sin(np.arange(24_000) / 20)).astype(np.float32)
WHOLE = [encode(TONE, 24_000, suffix) for suffix in (".wav", ".flac", ".ogg", ".mp3")]


@st.composite
def broken_audio(draw: st.DrawFn) -> bytes:
    """An audio file that was cut, flipped, spliced, or never was one."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    for _ in range(draw(st.integers(0, 12))):
        if data:
            data[draw(st.integers(0, min(len(data), 200) - 1))] = draw(st.integers(0, 255))
    return bytes(data) if draw(st.booleans()) else bytes(data) + draw(st.binary(max_size=64))


@given(data=broken_audio() | st.binary(max_size=400))
async def test_any_reference(data: bytes):
    try:
        reference = ReferenceAudio.from_bytes(data)
    except InvalidReferenceAudio:
        return
    request = CloneRequest("Hello.", reference, x_vector_only=True)
    await ends_well_or_typed(MemoryComfyUI(instant=True).adapter(), request)


@given(
    body=json_values.map(json.dumps) | st.text(max_size=40),
    path=st.sampled_from(ROUTES),
    told=st.booleans(),
)
async def test_any_answer(body: str, path: str, told: bool):
    """A server that answers a step with nonsense, whether its events tell the end or not."""
    server = MemoryComfyUI(instant=told)
    server.nonsense[path] = body.encode("utf-8", "replace")
    adapter = server.adapter(job=60.0, away=5.0)
    if path == "/upload":
        tone = (0.3 * np.sin(np.arange(96_000) / 20)).astype(np.float32)
        reference = ReferenceAudio(tone)
        await ends_well_or_typed(adapter, CloneRequest("Hi.", reference, x_vector_only=True))
    else:
        await ends_well_or_typed(adapter, LINE)


@given(frame=json_values.map(json.dumps) | st.text(max_size=40) | st.binary(max_size=40))
async def test_any_frame(frame: str | bytes):
    """A WebSocket that says nonsense does not keep the audio back."""
    server = MemoryComfyUI()
    adapter = server.adapter()
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await server.until(lambda server: server.submitted)
    for socket in server.sockets:
        socket.messages.put_nowait(frame)  # type: ignore[arg-type]
    server.finish(server.submitted[0])
    assert (await call).duration > 0.5
    await adapter.aclose()
