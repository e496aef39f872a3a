"""Settings that change while requests are under way."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading

import numpy as np
import pytest
from dependency_injector import providers

from storycore_tts.container import Container, open_tts
from storycore_tts.domain.events import AvailabilityChanged, FellBack, Reloaded, Routed
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import BackendUnavailable, ConfigurationError
from storycore_tts.ports import BackendStatus, Capabilities
from storycore_tts.settings import QwenTTSConfig


class Backend:
    """An adapter that counts; it works while ``works`` is true, and not before ``gate`` is open."""

    capabilities = Capabilities(speech=True)

    def __init__(self, name, config):
        self.name, self.config = name, config
        self.works, self.retryable = True, False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked, self.closed = 0, 0

    async def synthesize(self, request, *, on_progress=None):
        self.asked += 1
        await self.gate.wait()
        if not self.works:
            raise BackendUnavailable(f"{self.name} is away.", retryable=self.retryable)
        return Speech(np.ones(240, np.float32), 24_000, backend=self.name, model="m")

    async def speakers(self):
        return []

    async def status(self):
        return BackendStatus(self.name, self.works)

    async def aclose(self):
        self.closed += 1


@pytest.fixture
def made():
    """Every adapter that is made from now on, in order; one that is in ``missing`` cannot be."""

    class Made(list):
        missing = ()

    adapters = Made()

    def make(name, config):
        if name in adapters.missing:
            raise BackendUnavailable(f"The backend {name!r} needs a package.", retryable=False)
        adapters.append(Backend(name, config))
        return adapters[-1]

    def clock():  # it stands still: files are read when a test says so
        return 0.0

    with (
        Container.make.override(providers.Object(make)),
        Container.clock.override(providers.Object(clock)),
    ):
        yield adapters


async def test_a_changed_file_changes_the_backend_and_the_defaults(made, file):
    events = []
    async with open_tts(file(backend="comfyui")) as tts:
        tts.add_listener(events.append)
        assert (await tts.say("One.")).backend == "comfyui"
        file(backend="draft", default_speaker="Eric")
        await tts.reload()
        assert (await tts.say("Two.")).backend == "draft"
        assert (tts.backend, tts.defaults.speaker) == ("draft", "Eric")
    assert [event.backend for event in events if isinstance(event, Reloaded)] == ["draft"]
    assert [adapter.closed for adapter in made] == [1, 1]


async def test_what_is_under_way_ends_where_it_began(made, file):
    async with open_tts(file(backend="comfyui")) as tts:
        made[0].gate.clear()
        under_way = [asyncio.ensure_future(tts.say(f"Line {n}.")) for n in range(20)]
        await asyncio.sleep(0)
        file(backend="draft")
        await tts.reload()
        assert (await tts.say("New.")).backend == "draft"
        assert made[0].closed == 0
        made[0].gate.set()
        assert {speech.backend for speech in await asyncio.gather(*under_way)} == {"comfyui"}
    assert made[0].asked == 20
    assert made[0].closed == 1


async def test_settings_that_are_refused_change_nothing_and_keep_nothing_open(made, file):
    made.missing = ("direct",)
    async with open_tts(file(backend="comfyui")) as tts:
        file(backend="nobody")
        with pytest.raises(ConfigurationError, match="nobody"):
            await tts.reload()
        file(backend="comfyui", rollout=0.5)  # refused half way
        with pytest.raises(BackendUnavailable, match="needs a package"):
            await tts.reload()
        assert (await tts.say("Still here.")).backend == "comfyui"
        assert tts.backend == "comfyui"
    assert [adapter.closed for adapter in made] == [1]


async def test_of_two_reloads_the_later_one_wins(made):
    first_is_read, slowly = threading.Event(), threading.Event()

    def read(settings):
        if settings.default_speaker == "Eric":
            first_is_read.set()
            assert slowly.wait(60)
        return settings

    with Container.read.override(providers.Object(read)):
        async with open_tts(QwenTTSConfig(backend="comfyui")) as tts:
            first = asyncio.ensure_future(tts.reload(QwenTTSConfig(default_speaker="Eric")))
            assert await asyncio.to_thread(first_is_read.wait, 60)
            second = asyncio.ensure_future(tts.reload(QwenTTSConfig(default_speaker="Ryan")))
            for _ in range(3):  # as far as it gets: threads take their work in its order
                await asyncio.to_thread(int)
            slowly.set()
            await asyncio.gather(first, second)
            assert tts.defaults.speaker == "Ryan"


async def test_an_adapter_stays_while_its_own_settings_do(made, file):
    """A model that is loaded stays loaded while a rollout grows."""
    async with open_tts(file(backend="direct", rollout=0.0)) as tts:
        for share in (0.25, 0.5, 1.0):
            file(backend="direct", rollout=share, default_speaker="Eric")
            await tts.reload()
        assert [adapter.name for adapter in made] == ["comfyui", "direct"]
        file(backend="direct", rollout=1.0, precision="fp32")
        await tts.reload()
        assert [adapter.name for adapter in made] == ["comfyui", "direct"] * 2
        await asyncio.sleep(0)
        assert [adapter.closed for adapter in made] == [1, 1, 0, 0]
    assert [adapter.closed for adapter in made] == [1, 1, 1, 1]


async def test_a_setting_of_another_adapter_makes_none_anew(made, file):
    async with open_tts(file(backend="direct", rollout=0.5)) as tts:
        file(backend="direct", rollout=0.5, comfyui_url="http://10.0.0.1:8188")
        await tts.reload()
        assert [adapter.name for adapter in made] == ["comfyui", "direct", "comfyui"]
        await asyncio.sleep(0)
        assert [adapter.closed for adapter in made] == [1, 0, 0]


async def test_a_backend_that_is_known_to_be_down_is_known_after_a_reload(made, file):
    once = "{failures: 1, probe_seconds: 1000.0}"
    async with open_tts(file(backend="comfyui", fallback="draft", breaker=once)) as tts:
        made[0].works = False
        await tts.say("One.")
        file(backend="comfyui", fallback="draft", breaker=once, default_speaker="Eric")
        await tts.reload()
        assert (await tts.say("Two.")).backend == "draft"
        assert [(adapter.name, adapter.asked) for adapter in made] == [("comfyui", 1), ("draft", 2)]


async def test_settings_may_be_given_or_come_from_the_environment(made, file, monkeypatch):
    async with open_tts(QwenTTSConfig(backend="comfyui")) as tts:
        await tts.reload(QwenTTSConfig(backend="draft"))
        assert (await tts.say("Two.")).backend == "draft"
        await tts.reload()
        assert tts.backend == "draft"
    async with open_tts(file(backend="comfyui")) as tts:
        monkeypatch.setenv("STORYCORE_TTS_BACKEND", "draft")
        await tts.reload()
        assert tts.backend == "draft"


async def test_a_rollout_grows_and_goes_back_at_once(made, file):
    events = []
    async with open_tts(file(backend="direct", rollout=0.25)) as tts:
        tts.add_listener(events.append)

        async def sides():
            said = [await tts.say("Hi.", project=f"project {n}") for n in range(200)]
            return [speech.backend == "comfyui" for speech in said]

        quarter = await sides()
        assert 30 <= sum(quarter) <= 70
        assert await sides() == quarter
        file(backend="direct", rollout=0.75)
        await tts.reload()
        most = await sides()
        assert all(later for before, later in zip(quarter, most, strict=True) if before)
        assert 130 <= sum(most) <= 170
        file(backend="direct", rollout=0.0)
        await tts.reload()
        assert sum(await sides()) == 0
    routed = [event for event in events if isinstance(event, Routed)]
    assert len(routed) == 800
    assert sum(event.backend == "comfyui" for event in routed) == 2 * sum(quarter) + sum(most)


async def test_a_fallback_is_one_adapter_with_the_other_side_of_a_rollout(made, file):
    events = []
    async with open_tts(file(backend="comfyui", rollout=1.0, fallback="direct")) as tts:
        tts.add_listener(events.append)
        made[0].works = False
        speech = await tts.say("Hi.")
        assert speech.backend == "direct"
        assert "comfyui is away." in speech.warnings[0]
        assert [adapter.name for adapter in made] == ["comfyui", "direct"]
        assert [type(event) for event in events if isinstance(event, FellBack)] == [FellBack]
    assert [adapter.closed for adapter in made] == [1, 1]


@pytest.mark.parametrize(
    ("backend", "fallback", "asked"),
    [
        ("comfyui", "direct", ["comfyui", "direct"]),
        ("comfyui", "draft", ["comfyui", "draft"]),
        ("comfyui", "none", ["comfyui"]),
        ("comfyui", "comfyui", ["comfyui"]),
        ("direct", "direct", ["direct"]),
        ("direct", "draft", ["direct", "draft"]),
        ("draft", "direct", ["draft"]),
    ],
)
async def test_who_falls_back_on_whom(made, file, backend, fallback, asked):
    async with open_tts(file(backend=backend, fallback=fallback)) as tts:
        made[0].works = False
        if len(asked) == 1:
            with pytest.raises(BackendUnavailable, match=f"{backend} is away"):
                await tts.say("Hi.")
        else:
            assert (await tts.say("Hi.")).backend == asked[1]
    assert [adapter.name for adapter in made] == asked


async def test_each_backend_of_a_chain_has_a_breaker_of_its_own(made, file):
    once = "{failures: 1, probe_seconds: 1000.0}"
    settings = {"backend": "comfyui", "fallback": "[direct, draft]", "breaker": once}
    async with open_tts(file(**settings)) as tts:
        events = []
        tts.add_listener(events.append)
        made[0].works = False
        assert (await tts.say("One.")).backend == "direct"
        made[1].works = False
        for text in ("Two.", "Three."):
            speech = await tts.say(text)
            assert speech.backend == "draft"
            assert "comfyui is away." in speech.warnings[0]
            assert "direct is away." in speech.warnings[0]
        asked = [(adapter.name, adapter.asked) for adapter in made]
        assert asked == [("comfyui", 1), ("direct", 2), ("draft", 2)]
        down = [event.backend for event in events if isinstance(event, AvailabilityChanged)]
        assert down == ["comfyui", "direct"]
    assert [adapter.closed for adapter in made] == [1, 1, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
async def test_a_hangup_reloads(made, file, request):
    reloaded, refused = asyncio.Event(), asyncio.Event()
    log = logging.getLogger("storycore_tts.container")
    told = logging.Handler()
    told.emit = lambda record: refused.set() if record.event == "settings.refused" else None
    log.addHandler(told)
    request.addfinalizer(lambda: log.removeHandler(told))
    async with open_tts(file(backend="comfyui"), reload_on_hangup=True) as tts:
        tts.add_listener(lambda event: reloaded.set() if isinstance(event, Reloaded) else None)
        file(backend="draft")
        os.kill(os.getpid(), signal.SIGHUP)
        await reloaded.wait()
        assert (await tts.say("Two.")).backend == "draft"
        file(backend="nobody")
        os.kill(os.getpid(), signal.SIGHUP)
        await refused.wait()
        assert tts.backend == "draft"
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
async def test_a_reload_that_is_under_way_ends_with_the_service(made):
    reading, slowly = threading.Event(), threading.Event()

    def read(settings):
        if made:  # it is open
            reading.set()
            assert slowly.wait(60)
        return settings

    before = asyncio.all_tasks()
    with Container.read.override(providers.Object(read)):
        async with open_tts(QwenTTSConfig(), reload_on_hangup=True):
            os.kill(os.getpid(), signal.SIGHUP)
            assert await asyncio.to_thread(reading.wait, 60)
    left = asyncio.all_tasks() - before
    slowly.set()
    assert left == set()
    assert len(made) == 1


async def test_what_is_under_way_when_its_client_is_left_asks_nothing_more(made):
    """Left by an error beside it, say: neither a pause nor a look at the voices begins it anew."""
    async with open_tts(QwenTTSConfig(fallback="draft")) as tts:
        made[0].works = False
        made[0].retryable = True
        in_a_pause = asyncio.ensure_future(tts.say("One."))
        while not made[0].asked:
            await asyncio.sleep(0)
        at_the_voices = asyncio.ensure_future(tts.say("Two.", speaker="Nobody I know"))
        await asyncio.sleep(0)
    for call in (in_a_pause, at_the_voices):
        with pytest.raises(BackendUnavailable):
            await call
    assert [(adapter.asked, adapter.closed) for adapter in made] == [(1, 1)]
    with pytest.raises(BackendUnavailable, match="closed"):
        await tts.say("Three.")


@pytest.mark.virtual_clock
async def test_progress_never_goes_back_however_often_a_request_is_tried(made, file):
    stages = []

    async def synthesize(request, *, on_progress=None):
        made[0].asked += 1
        on_progress(Progress(Stage.QUEUED))
        on_progress(Progress(Stage.GENERATING))
        if made[0].asked < 3:
            raise BackendUnavailable("Again.")
        return Speech(np.ones(240, np.float32), 24_000, backend="comfyui", model="m")

    async with open_tts(QwenTTSConfig(fallback=None)) as tts:
        made[0].synthesize = synthesize
        await tts.say("Hi.", on_progress=lambda progress: stages.append(progress.stage))
    assert stages == [Stage.QUEUED, Stage.GENERATING]
