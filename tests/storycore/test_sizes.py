"""What the engine's services opened is closed with them."""

from __future__ import annotations

import asyncio

import pytest
from dependency_injector import providers

from storycore_tts import QwenTTSConfig, install, uninstall
from storycore_tts.container import Container
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.ports import Capabilities

from .caller import AIConfig, AIVideoEditorService


class Closing:
    """An adapter that tells when it is asked to close, and closes when it may."""

    name = "closing"
    capabilities = Capabilities()

    def __init__(self):
        self.asked, self.may_close = asyncio.Event(), asyncio.Event()

    async def aclose(self):
        self.asked.set()
        await self.may_close.wait()


async def test_a_close_that_is_cancelled_still_closes_the_other_size():
    adapters = [Closing(), Closing()]
    made = iter(adapters)
    with Container.adapter.override(providers.Factory(lambda **_: next(made))):
        speech = SpeechBySize(QwenTTSConfig(backend="draft"))
        speech.tts("0.6B")
        speech.tts("1.7B")
        closing = asyncio.ensure_future(speech.aclose())
        done, _ = await asyncio.wait(
            [asyncio.ensure_future(one.asked.wait()) for one in adapters],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert done
        first, other = sorted(adapters, key=lambda one: not one.asked.is_set())
        closing.cancel()
        other.may_close.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert other.asked.is_set()
        first.may_close.set()


async def test_uninstalling_closes_what_was_opened():
    adapter = Closing()
    adapter.may_close.set()
    with Container.adapter.override(providers.Factory(lambda **_: adapter)):
        service = AIVideoEditorService(AIConfig("qwen"))
        install(service, QwenTTSConfig(backend="draft"))._speech.tts()
        await uninstall(service)
    assert adapter.asked.is_set()
