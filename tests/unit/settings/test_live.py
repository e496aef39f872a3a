"""Settings that follow their file."""

from __future__ import annotations

import asyncio
import threading

import pytest

from storycore_tts.errors import ConfigurationError
from storycore_tts.live_settings import LiveSettings, read_settings
from storycore_tts.settings import QwenTTSConfig


class Clock:
    now = 100.0

    def __call__(self):
        return self.now

    def passes(self, seconds=1.0):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a backend into one of the usual places, or another file of the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(backend, name="storycore-tts.yaml"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"tts: {{qwen: {{backend: {backend}}}}}\n", encoding="utf-8")
        return file

    return write


async def test_a_change_is_noticed_at_a_call_and_files_are_looked_at_once_a_second(clock, written):
    settings = LiveSettings(written("comfyui"), clock=clock)
    written("draft")
    clock.passes(0.9)
    await settings.refresh()
    assert settings.config.backend == "comfyui"
    clock.passes(0.1)
    await settings.refresh()
    assert settings.config.backend == "draft"
    written("direct")
    clock.passes(0.9)
    await settings.refresh()
    assert settings.config.backend == "draft"


async def test_a_file_that_stays_as_it_is_is_not_read_again(clock, written):
    read = []
    settings = LiveSettings(
        written("draft"), read=lambda file: read.append(file) or read_settings(file), clock=clock
    )
    for _ in range(3):
        clock.passes()
        await settings.refresh()
    assert len(read) == 1


async def test_a_file_of_the_same_size_and_time_in_its_place_is_noticed(clock, written, tmp_path):
    """As editors write that keep the old file, and tools that restore times."""
    import os

    file = written("draft ")
    settings = LiveSettings(file, clock=clock)
    before = file.stat()
    other = written("direct", "other.yaml")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    clock.passes()
    await settings.refresh()
    assert settings.config.backend == "direct"


async def test_a_file_that_appears_in_a_usual_place_is_noticed_and_one_that_goes(clock, written):
    settings = LiveSettings(None, clock=clock)
    assert settings.config.backend == "comfyui"
    for name, backend in (("config/default.yaml", "draft"), ("storycore-tts.yaml", "direct")):
        file = written(backend, name)
        clock.passes()
        await settings.refresh()
        assert settings.config.backend == backend
    file.unlink()
    clock.passes()
    await settings.refresh()
    assert settings.config.backend == "draft"


async def test_what_is_refused_is_logged_once_for_each_change(clock, written, caplog):
    settings = LiveSettings(written("draft"), clock=clock)
    for wrong in ("nobody", "nobody", "noone"):
        written(wrong)
        for _ in range(2):
            clock.passes()
            await settings.refresh()
    assert settings.config.backend == "draft"
    refused = [record for record in caplog.records if record.event == "settings.refused"]
    assert ["nobody" in one.fields["reason"] for one in refused] == [True, True, False]
    written("direct")
    clock.passes()
    await settings.refresh()
    assert settings.config.backend == "direct"


async def test_what_a_reload_has_refused_is_not_logged_as_well(clock, written, caplog):
    settings = LiveSettings(written("draft"), clock=clock)
    written("nobody")
    with pytest.raises(ConfigurationError):
        await settings.reload()
    clock.passes()
    await settings.refresh()
    assert not caplog.records


async def test_an_object_is_never_watched_and_a_file_in_its_place_is(clock, written):
    settings = LiveSettings(QwenTTSConfig(backend="draft"), clock=clock)
    file = written("direct")
    clock.passes()
    await settings.refresh()
    assert settings.config.backend == "draft"
    await settings.reload(file)
    written("comfyui")
    clock.passes()
    await settings.refresh()
    assert settings.config.backend == "comfyui"
    await settings.reload(QwenTTSConfig(backend="draft"))
    written("direct")
    clock.passes()
    await settings.refresh()
    assert settings.config.backend == "draft"


async def test_of_those_who_follow_all_or_none_change(clock, written):
    settings = LiveSettings(written("draft"), clock=clock)
    used = []

    def refuse(config):
        raise ConfigurationError("No.")

    settings.follow(lambda config: lambda: used.append(config.backend))
    end = settings.follow(refuse)
    written("direct")
    with pytest.raises(ConfigurationError):
        await settings.reload()
    assert (settings.config.backend, used) == ("draft", [])
    end()
    await settings.reload()
    assert (settings.config.backend, used) == ("direct", ["direct"])


async def test_blocks_that_are_fixed_stay(clock, tmp_path):
    file = tmp_path / "fixed.yaml"
    file.write_text("tts: {qwen: {backend: draft, server: {port: 1}}}")
    settings = LiveSettings(file, fixed=("server",), clock=clock)
    file.write_text("tts: {qwen: {backend: direct, server: {port: 2}}}")
    await settings.reload()
    assert (settings.config.backend, settings.config.server.port) == ("direct", 1)


async def test_calls_on_other_event_loops_wait_for_the_one_that_reads(clock, written):
    reading, slowly = threading.Event(), threading.Event()

    def read(source):
        found = read_settings(source)
        if found.backend == "direct":
            reading.set()
            assert slowly.wait(60)
        return found

    settings = LiveSettings(written("draft"), read=read, clock=clock)
    seen = []

    async def call():
        await settings.refresh()
        seen.append(settings.config.backend)

    written("direct")
    clock.passes()
    first = asyncio.ensure_future(call())
    assert await asyncio.to_thread(reading.wait, 60)
    others = [threading.Thread(target=asyncio.run, args=(call(),)) for _ in range(4)]
    for one in others:
        one.start()
    waits = asyncio.ensure_future(call())
    await asyncio.sleep(0)
    assert seen == []
    slowly.set()
    await asyncio.gather(first, waits, *(asyncio.to_thread(one.join) for one in others))
    assert seen == ["direct"] * 6


async def test_a_call_that_is_cancelled_while_it_reads_leaves_the_change_to_the_next(
    clock, written
):
    reading, slowly = threading.Event(), threading.Event()

    def read(source):
        if reading.is_set():
            return read_settings(source)
        if source is not None and clock.now > 100:
            reading.set()
            assert slowly.wait(60)
        return read_settings(source)

    settings = LiveSettings(written("draft"), read=read, clock=clock)
    written("direct")
    clock.passes()
    first = asyncio.ensure_future(settings.refresh())
    assert await asyncio.to_thread(reading.wait, 60)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    slowly.set()
    clock.passes()
    await settings.refresh()
    assert settings.config.backend == "direct"
