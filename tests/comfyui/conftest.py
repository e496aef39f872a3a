"""A stand-in ComfyUI and an adapter that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from storycore_tts import QwenTTSConfig
from storycore_tts.adapters.comfyui import ComfyUIAdapter, session
from storycore_tts.testing.comfyui import StandInComfyUI

# Short waits: what a fault costs is paid in every run of the tests.
TIMEOUTS = {"connect": 2.0, "request": 3.0, "away": 2.0, "cancel": 2.0}

MakeAdapter = Callable[..., ComfyUIAdapter]


@pytest.fixture(params=[False, True], ids=["0.3.64", "modern"])
def server(
    request: pytest.FixtureRequest, standin_comfyui_factory: Callable[..., StandInComfyUI]
) -> StandInComfyUI:
    """A stand-in, old and new, whose nodes answer at once with a tone."""
    return standin_comfyui_factory(modern=request.param, instant=True)


@pytest.fixture
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at the queue that follow one another faster than in earnest."""
    monkeypatch.setattr(session, "_POLL_EVERY", 0.5)
    monkeypatch.setattr(session, "_POLL_AT_MOST_EVERY", 0.1)


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
