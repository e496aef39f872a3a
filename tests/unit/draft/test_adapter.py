"""The speech port over espeak-ng."""

import asyncio
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.draft import DraftAdapter, create
from storycore_tts.adapters.draft import adapter as module
from storycore_tts.adapters.draft.espeak import EspeakError, EspeakVoice, speak, version
from storycore_tts.adapters.draft.voices import SPEAKERS, voice_for
from storycore_tts.domain.audio import is_silent
from storycore_tts.domain.errors import (
    BackendUnavailable,
    GenerationFailed,
    SilentAudio,
    TTSError,
    UnknownSpeaker,
    UnsupportedByBackend,
)
from storycore_tts.domain.progress import Stage
from storycore_tts.domain.requests import Sampling, SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.ports import Adapter, SpeechSynthesizer, VoiceCloner, VoiceTrainer
from storycore_tts.settings import DraftConfig, QwenTTSConfig
from storycore_tts.testing.event_loop import stays_free

HELLO = SpeechRequest("Hello, world.", "Ryan", language="English")
TRIES = 3  # a busy machine slows one of them, what is slow by itself is so each time
LONG = SpeechRequest(
    "The quick brown fox jumps over the lazy dog. " * 150,
    "Serena",
    sampling=Sampling(max_new_tokens=8192),
)


@pytest.fixture
async def adapter():
    made = DraftAdapter()
    yield made
    await made.aclose()


@pytest.fixture
def our_threads():
    """Return what lists the adapter's threads, without those that other tests left running."""
    before = set(threading.enumerate())

    def since():
        threads = set(threading.enumerate()) - before
        return [t for t in threads if t.name.startswith("storycore-tts-draft")]

    return since


async def test_it_is_an_adapter_that_speaks_and_nothing_more(adapter):
    assert isinstance(adapter, Adapter)
    assert isinstance(adapter, SpeechSynthesizer)
    assert not isinstance(adapter, VoiceCloner | VoiceTrainer)
    assert adapter.capabilities == module.Capabilities(speech=True)


async def test_speech_says_how_it_was_made(adapter):
    speech = await adapter.synthesize(SpeechRequest("Hello, world.", "uncle fu", language="en"))
    assert (speech.backend, speech.model) == ("draft", f"espeak-ng {version()}")
    assert (speech.speaker, speech.language, speech.seed) == ("Uncle_fu", "English", None)
    assert (speech.sample_rate, speech.samples.dtype) == (24_000, np.float32)
    assert 0.3 < speech.duration < 5
    assert 0.02 < np.abs(speech.samples).max() <= 1.0
    assert 0 < speech.timings.generating <= speech.timings.total
    assert speech.warnings == ()


async def test_resampling_keeps_the_duration(adapter):
    speech = await adapter.synthesize(HELLO)
    samples, rate = speak(HELLO.text, voice_for("Ryan", "English"))
    assert speech.duration == pytest.approx(len(samples) / rate, abs=0.001)


async def test_speakers_are_the_nine(adapter):
    speakers = await adapter.speakers()
    assert [speaker.name for speaker in speakers] == list(SPEAKERS)
    assert {speaker.language for speaker in speakers} == {
        "Chinese",
        "English",
        "Japanese",
        "Korean",
    }


async def test_unknown_speakers_and_checkpoints_are_refused(adapter):
    with pytest.raises(UnknownSpeaker, match="Did you mean 'Ryan'"):
        await adapter.synthesize(SpeechRequest("Hello.", "Rian"))
    with pytest.raises(UnsupportedByBackend, match="/models/mia"):
        await adapter.synthesize(SpeechRequest("Hello.", "mia", checkpoint="/models/mia"))


async def test_what_is_not_heard_is_said(adapter):
    speech = await adapter.synthesize(
        SpeechRequest("日本語です", "Ono_anna", language="ja", instruct="softly")
    )
    assert len(speech.warnings) == 2
    assert "Chinese characters" in speech.warnings[0]
    assert "instruct" in speech.warnings[1]


async def test_the_pace_comes_from_the_settings():
    durations = []
    for pace in (100, 300):
        made = create(QwenTTSConfig(draft=DraftConfig(words_per_minute=pace)))
        durations.append((await made.synthesize(HELLO)).duration)
        await made.aclose()
    assert durations[1] < 0.7 * durations[0]


async def test_nothing_pronounceable_is_a_silent_audio(adapter):
    with pytest.raises(SilentAudio) as caught:
        await adapter.synthesize(SpeechRequest("😀", "Ono_anna", language="Japanese"))
    assert not caught.value.retryable
    assert caught.value.backend == "draft"
    assert not is_silent((await adapter.synthesize(HELLO)).samples)


async def test_32_calls_at_once_equal_the_lone_calls(adapter):
    requests = [
        SpeechRequest(f"This is line number {n}.", SPEAKERS[n % 9], language="English")
        for n in range(32)
    ]
    alone = [await adapter.synthesize(request) for request in requests]
    other = DraftAdapter()  # shares the library, not the thread
    together = await asyncio.gather(
        *((adapter, other)[n % 2].synthesize(request) for n, request in enumerate(requests))
    )
    await other.aclose()
    for first, second in zip(alone, together, strict=True):
        assert np.array_equal(first.samples, second.samples)
        assert first.speaker == second.speaker


async def test_progress_rises_and_ends_at_one(adapter):
    news = []
    loop_thread = threading.get_ident()

    def listen(progress):
        assert threading.get_ident() == loop_thread
        news.append(progress)

    await adapter.synthesize(LONG, on_progress=listen)
    fractions = [progress.fraction for progress in news]
    assert {progress.stage for progress in news} == {Stage.GENERATING}
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert fractions == sorted(fractions)
    assert any(0 < fraction < 1 for fraction in fractions)


async def test_waiting_calls_hear_their_place_in_the_line(adapter):
    news = [[] for _ in range(3)]
    await asyncio.gather(*(adapter.synthesize(HELLO, on_progress=heard.append) for heard in news))
    places = [[p.queue_position for p in heard if p.stage is Stage.QUEUED] for heard in news]
    assert places == [[], [1], [2, 1]]
    assert all(heard[-1].fraction == 1.0 for heard in news)


async def test_a_call_on_another_event_loop_gets_its_turn(adapter):
    """Programs without a loop have one in a thread, and share the adapter with all others."""
    waits = threading.Event()

    async def spoken():
        def listen(progress):
            if progress.stage is Stage.QUEUED:
                waits.set()

        return await asyncio.wait_for(adapter.synthesize(HELLO, on_progress=listen), 30)

    async with adapter._line.turn(lambda _: None):
        elsewhere = asyncio.ensure_future(asyncio.to_thread(asyncio.run, spoken()))
        assert await asyncio.to_thread(waits.wait, 30)
    assert isinstance(await elsewhere, Speech)


async def test_the_wait_in_line_is_timed(adapter):
    first, second = await asyncio.gather(adapter.synthesize(LONG), adapter.synthesize(HELLO))
    assert second.timings.queued >= first.timings.generating * 0.9


async def test_a_listener_that_raises_ends_its_call_only(adapter):
    def burst(progress):
        if progress.fraction:
            raise ZeroDivisionError

    broken, fine = await asyncio.gather(
        adapter.synthesize(LONG, on_progress=burst),
        adapter.synthesize(HELLO),
        return_exceptions=True,
    )
    assert isinstance(broken, ZeroDivisionError)
    assert isinstance(fine, Speech)


async def test_the_event_loop_stays_free(adapter):
    await stays_free(lambda: adapter.synthesize(LONG), within=0.05)


async def test_cancelling_stops_the_synthesis_and_frees_the_place(adapter):
    whole = (await adapter.synthesize(LONG)).timings.generating
    hello = await adapter.synthesize(HELLO)

    async def cancelled_and_followed():
        speaking = asyncio.Event()
        task = asyncio.create_task(
            adapter.synthesize(LONG, on_progress=lambda p: p.fraction and speaking.set())
        )
        await speaking.wait()
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        after = await adapter.synthesize(HELLO)
        assert np.array_equal(after.samples, hello.samples)
        return time.perf_counter() - started

    assert min([await cancelled_and_followed() for _ in range(TRIES)]) < 0.6 * whole


async def test_cancelling_a_waiting_call_moves_the_others_up(adapter):
    heard = []
    first = asyncio.create_task(adapter.synthesize(LONG))
    second = asyncio.create_task(adapter.synthesize(LONG))
    third = asyncio.create_task(adapter.synthesize(HELLO, on_progress=heard.append))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert isinstance(await first, Speech)
    assert isinstance(await third, Speech)
    assert [p.queue_position for p in heard if p.stage is Stage.QUEUED] == [2, 1]


async def test_a_cancelled_call_leaves_no_word_behind(adapter, monkeypatch):
    """The audio of a call that nobody waits for any more is not made to its end."""
    ended = threading.Event()
    heard = []

    def watched(text, voice, **options):
        try:
            return speak(text, voice, **options)
        except BaseException as error:
            heard.append(type(error).__name__)
            raise
        finally:
            ended.set()

    monkeypatch.setattr(module, "speak", watched)
    speaking = asyncio.Event()
    task = asyncio.create_task(
        adapter.synthesize(LONG, on_progress=lambda p: p.fraction and speaking.set())
    )
    await speaking.wait()
    task.cancel()
    assert await asyncio.to_thread(ended.wait, 10)
    assert heard == ["SpeakCancelled"]


async def test_closing_stops_the_call_ends_the_thread_and_can_be_repeated(our_threads):
    async def closed_while_it_speaks():
        adapter = DraftAdapter()
        whole = (await adapter.synthesize(LONG)).timings.generating
        assert our_threads()
        speaking = asyncio.Event()
        running = asyncio.create_task(
            adapter.synthesize(LONG, on_progress=lambda p: p.fraction and speaking.set())
        )
        waiting = asyncio.create_task(adapter.synthesize(LONG))
        await speaking.wait()
        started = time.perf_counter()
        await adapter.aclose()
        await adapter.aclose()
        share = (time.perf_counter() - started) / whole
        assert not our_threads()
        for task in (running, waiting, adapter.synthesize(HELLO)):
            with pytest.raises(BackendUnavailable, match="closed"):
                await task
        assert not (await adapter.status()).reachable
        return share

    assert min([await closed_while_it_speaks() for _ in range(TRIES)]) < 0.6


async def test_closing_before_the_first_call(our_threads):
    await DraftAdapter().aclose()
    assert not our_threads()


async def test_status_names_version_and_device(adapter):
    status = await adapter.status()
    assert (status.backend, status.reachable, status.device) == ("draft", True, "cpu")
    assert (status.version, status.models) == (version(), ("espeak-ng",))
    assert (status.queue_length, status.problems) == (0, ())


@pytest.mark.parametrize("package", ["espeakng_loader", "soxr"])
async def test_a_missing_extra_is_advised(adapter, monkeypatch, package):
    version.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    status = await adapter.status()
    assert not status.reachable
    assert "pip install 'storycore-tts[draft]'" in status.problems[0].advice
    with pytest.raises(BackendUnavailable, match=r"pip install 'storycore-tts\[draft\]'") as caught:
        await adapter.synthesize(HELLO)
    assert not caught.value.retryable


async def test_a_refusal_of_the_library_is_a_failed_generation(adapter, monkeypatch):
    monkeypatch.setattr(module, "voice_for", lambda *_, **__: EspeakVoice("tlh"))
    with pytest.raises(GenerationFailed, match="tlh") as caught:
        await adapter.synthesize(HELLO)
    assert isinstance(caught.value.__cause__, EspeakError)
    assert caught.value.backend == "draft"


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(max_size=60),
    speaker=st.sampled_from(SPEAKERS),
    language=st.sampled_from(["Auto", "Chinese", "English", "Japanese", "Korean", "Russian"]),
)
@example("a\0b", "Ryan", "English")
@example("[[ <b>&amp; \x01150P", "Ryan", "English")
@example("\ud800", "Ryan", "Auto")
@example("9" * 60, "Eric", "Chinese")
def test_any_text_is_spoken_or_refused_with_a_typed_error(text, speaker, language):
    async def attempt():
        adapter = DraftAdapter()
        try:
            return await adapter.synthesize(SpeechRequest(text, speaker, language=language))
        finally:
            await adapter.aclose()

    try:
        speech = asyncio.run(attempt())
    except TTSError:
        return
    assert not is_silent(speech.samples)
    assert np.isfinite(speech.samples).all()
    assert np.abs(speech.samples).max() <= 1.0
