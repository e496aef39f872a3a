"""A stand-in ComfyUI and an adapter that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from storycore_tts import QwenTTSConfig, ReferenceAudio
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.comfyui import StandInComfyUI

# Short waits: what a fault costs is paid in every run of the tests.
TIMEOUTS = {"connect": 2.0, "request": 3.0, "away": 10.0, "cancel": 2.0}

MakeAdapter = Callable[..., ComfyUIAdapter]


@pytest.fixture
def server(standin_comfyui_factory: Callable[..., StandInComfyUI]) -> StandInComfyUI:
    """A stand-in of today's ComfyUI, whose nodes answer at once with a tone."""
    return standin_comfyui_factory(modern=True, instant=True)


@pytest.fixture(params=[False, True], ids=["0.3.64", "modern"])
def either_server(
    request: pytest.FixtureRequest, standin_comfyui_factory: Callable[..., StandInComfyUI]
) -> StandInComfyUI:
    """A stand-in, old and new, for what they do differently."""
    return standin_comfyui_factory(modern=request.param, instant=True)


@pytest.fixture
async def make_adapter() -> AsyncIterator[MakeAdapter]:
    """Makes adapters with short waits, and closes them: ``make_adapter(url, idle=0.5)``."""
    made: list[ComfyUIAdapter] = []

    def make(url: str, **timeouts: float) -> ComfyUIAdapter:
        config = QwenTTSConfig(comfyui_url=url, comfyui={"timeouts": {**TIMEOUTS, **timeouts}})
        made.append(ComfyUIAdapter(config))
        return made[-1]

    yield make
    for adapter in made:
        await adapter.aclose()


@pytest.fixture
def adapter(server: StandInComfyUI, make_adapter: MakeAdapter) -> ComfyUIAdapter:
    """An adapter on ``server``."""
    return make_adapter(server.url)


@pytest.fixture
def reference() -> ReferenceAudio:
    """Four seconds of a tone."""
    tone = 0.3 * np.sin(np.arange(96_000) * 2 * np.pi * 220 / 24_000)
    return ReferenceAudio(tone.astype(np.float32))
