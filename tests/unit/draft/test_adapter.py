"""The speech port over espeak-ng."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.draft import DraftAdapter, create, voices
from storycore_tts.adapters.draft.espeak import EspeakError, SpeakCancelled, version
from storycore_tts.adapters.draft.voices import SPEAKERS
from storycore_tts.domain.progress import Stage
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import (
    BackendUnavailable,
    GenerationFailed,
    SilentAudio,
    TTSError,
    UnknownSpeaker,
    UnsupportedByBackend,
)
from storycore_tts.ports import Capabilities, VoiceCloner, VoiceTrainer
from storycore_tts.settings import DraftConfig, QwenTTSConfig
from storycore_tts.sound.samples import is_silent

HELLO = SpeechRequest("Hello, world.", "Ryan", language="English")
LONG = SpeechRequest("The quick brown fox jumps over the lazy dog. " * 20, "Serena")


class ScriptedSpeech:
    """Stands in for espeak-ng: says when it begins, and ends when it may or must."""

    def __init__(self):
        self.may_end = threading.Event()
        self.began = threading.Semaphore(0)
        self.ended = []
        self.error = None

    def __call__(self, text, voice, *, cancelled, on_fraction):
        self.began.release()
        on_fraction(0.5)
        over = False
        while not over:
            over = self.may_end.wait(0.005)  # a buffer of audio
            if cancelled():
                self.ended.append("cancelled")
                raise SpeakCancelled
        self.ended.append("spoken")
        if self.error:
            raise self.error
        return np.full(2205, 0.5, np.float32), 22050

    async def begun(self):
        assert await asyncio.to_thread(self.began.acquire, timeout=30)


@pytest.fixture
def scripted():
    return ScriptedSpeech()


@pytest.fixture
async def adapter():
    made = DraftAdapter()
    yield made
    await made.aclose()


def threads():
    return [t for t in threading.enumerate() if t.name == "storycore-tts-draft"]


async def test_it_speaks_and_nothing_more(adapter):
    assert adapter.capabilities == Capabilities(
        speech=True, parameters=frozenset({"max_new_tokens"})
    )
    assert not isinstance(adapter, VoiceCloner | VoiceTrainer)
    assert [speaker.name for speaker in await adapter.speakers()] == list(SPEAKERS)
    status = await adapter.status()
    assert (status.backend, status.reachable, status.device) == ("draft", True, "cpu")
    assert (status.version, status.models) == (version(), ("espeak-ng",))
    assert (status.queue_length, status.problems) == (0, ())


async def test_speech_says_how_it_was_made(adapter):
    speech = await adapter.synthesize(SpeechRequest("Hello, world.", "uncle fu", language="en"))
    assert (speech.backend, speech.model) == ("draft", f"espeak-ng {version()}")
    assert (speech.speaker, speech.language, speech.seed) == ("Uncle_fu", "English", None)
    assert (speech.sample_rate, speech.samples.dtype) == (24_000, np.float32)
    assert 0.3 < speech.duration < 5
    assert 0.02 < np.abs(speech.samples).max() <= 1.0
    assert speech.warnings == ()


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
    assert durations[1] < 0.7 * durations[0]


async def test_nothing_pronounceable_is_a_silent_audio():
    silent = DraftAdapter(speak=lambda text, voice, **how: (np.zeros(2205, np.float32), 22_050))
    with pytest.raises(SilentAudio) as caught:
        await silent.synthesize(HELLO)
    assert not caught.value.retryable
    assert caught.value.backend == "draft"


@pytest.mark.parametrize(
    ("text", "language", "doubts"),
    [
        ("Bonjour, Marie.", "French", []),
        ("はい。", "Japanese", []),
        ("Ja.", "English", ["the language is not clear from the text"]),
    ],
)
async def test_auto_speaks_the_language_of_the_text_or_says_that_it_is_not_clear(
    adapter, text, language, doubts
):
    if text.isascii():
        pytest.importorskip("py3langid")
    told = await adapter.synthesize(SpeechRequest(text, "Ryan"))
    named = await adapter.synthesize(SpeechRequest(text, "Ryan", language=language))
    assert told.language == language
    assert np.array_equal(told.samples, named.samples)
    assert [warning.split(",")[0] for warning in told.warnings] == doubts


async def test_without_its_package_the_language_of_latin_letters_is_not_detected(
    adapter, monkeypatch
):
    voices._latin.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    told = await adapter.synthesize(SpeechRequest("Bonjour, Marie.", "Ryan"))
    assert told.language == "English"
    assert "py3langid, which detects it, is not installed" in told.warnings[0]


async def test_calls_at_once_equal_the_lone_calls(adapter):
    requests = [SpeechRequest(f"Line {n}.", SPEAKERS[n], language="English") for n in range(8)]
    alone = [await adapter.synthesize(request) for request in requests]
    other = DraftAdapter()  # shares the library, not the line
    together = await asyncio.gather(
        *((adapter, other)[n % 2].synthesize(request) for n, request in enumerate(requests))
    )
    for first, second in zip(alone, together, strict=True):
        assert np.array_equal(first.samples, second.samples)
        assert first.speaker == second.speaker


async def test_progress_rises_to_one_and_is_told_on_the_event_loop(adapter):
    news, loop_thread = [], threading.get_ident()

    def listen(progress):
        assert threading.get_ident() == loop_thread
        news.append(progress)

    await adapter.synthesize(LONG, on_progress=listen)
    assert {progress.stage for progress in news} == {Stage.GENERATING}
    fractions = [progress.fraction for progress in news]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert any(0 < fraction < 1 for fraction in fractions)


async def test_calls_wait_in_line_hear_their_place_and_are_timed(scripted):
    now, news = 0.0, [[] for _ in range(4)]
    adapter = DraftAdapter(speak=scripted, clock=lambda: now)
    calls = [asyncio.ensure_future(adapter.synthesize(HELLO, on_progress=n.append)) for n in news]
    await scripted.begun()
    assert (await adapter.status()).queue_length == 4
    calls[1].cancel()  # those behind it move up
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
    while news[3][-1].queue_position != 2:
        await asyncio.sleep(0)
    now = 5.0
    scripted.may_end.set()
    first, *_, last = await asyncio.gather(calls[0], *calls[2:])
    assert first.duration == pytest.approx(0.1)  # resampled
    places = [[p.queue_position for p in heard if p.stage is Stage.QUEUED] for heard in news]
    assert places[:3] == [[], [1], [2, 1]]
    assert places[3][:2] == [3, 2]  # and then 1, unless the one before it was quick
    assert first.timings.generating == last.timings.queued == last.timings.total == 5.0
    assert news[3][-1].fraction == 1.0


async def test_a_call_on_another_event_loop_gets_its_turn(scripted):
    """Programs without a loop have one in a thread, and share the adapter with all others."""
    adapter, waits = DraftAdapter(speak=scripted), threading.Event()
    second = adapter.synthesize(HELLO, on_progress=lambda _: waits.set())
    first = asyncio.ensure_future(adapter.synthesize(HELLO))
    await scripted.begun()
    elsewhere = asyncio.ensure_future(asyncio.to_thread(asyncio.run, second))
    assert await asyncio.to_thread(waits.wait, 30)
    scripted.may_end.set()
    for call in (first, elsewhere):
        assert isinstance(await asyncio.wait_for(call, 30), Speech)


async def test_a_listener_that_raises_ends_its_call_only(scripted):
    adapter = DraftAdapter(speak=scripted)

    def burst(progress):
        if progress.fraction:
            raise ZeroDivisionError

    broken = asyncio.ensure_future(adapter.synthesize(LONG, on_progress=burst))
    fine = asyncio.ensure_future(adapter.synthesize(HELLO))
    with pytest.raises(ZeroDivisionError):
        await broken
    scripted.may_end.set()
    assert isinstance(await fine, Speech)


@pytest.mark.parametrize("package", ["espeakng_loader", "soxr"])
async def test_a_missing_extra_is_advised(adapter, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    status = await adapter.status()
    assert not status.reachable
    assert "pip install 'storycore-tts[draft]'" in status.problems[0].advice
    with pytest.raises(BackendUnavailable, match=r"pip install 'storycore-tts\[draft\]'") as caught:
        await adapter.synthesize(HELLO)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("error", "raised"),
    [(EspeakError("no voice 'tlh'"), GenerationFailed), (KeyError("tlh"), KeyError)],
)
async def test_what_goes_wrong_in_the_thread_reaches_the_caller(scripted, error, raised):
    scripted.error = error
    scripted.may_end.set()
    with pytest.raises(raised, match="tlh") as caught:
        await DraftAdapter(speak=scripted).synthesize(HELLO)
    assert error in (caught.value, caught.value.__cause__)


# Leaving and closing


async def test_a_cancelled_call_stops_and_frees_its_place(scripted):
    adapter = DraftAdapter(speak=scripted)
    task = asyncio.create_task(adapter.synthesize(LONG))
    await scripted.begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    following = asyncio.create_task(adapter.synthesize(HELLO))
    await scripted.begun()
    scripted.may_end.set()
    assert isinstance(await following, Speech)
    await adapter.aclose()
    assert sorted(scripted.ended) == ["cancelled", "spoken"]
    assert not threads()


async def test_closing_stops_all_calls_and_every_closer_waits_for_the_thread(scripted):
    adapter = DraftAdapter(speak=scripted)
    calls = [asyncio.create_task(adapter.synthesize(LONG)) for _ in range(2)]
    await scripted.begun()
    closers = [asyncio.create_task(adapter.aclose()) for _ in range(2)]
    done, _ = await asyncio.wait(closers, return_when=asyncio.FIRST_COMPLETED)
    assert done
    assert not threads()
    await asyncio.gather(*closers)
    for call in (*calls, adapter.synthesize(HELLO)):
        with pytest.raises(BackendUnavailable, match="closed"):
            await call
    assert not (await adapter.status()).reachable
    assert scripted.ended == ["cancelled"]


async def test_closing_from_a_listener_and_on_other_loops_raises_typed_errors_only(scripted):
    """The adapter is closed at every moment of a call, among them just before its thread starts."""
    scripted.may_end.set()
    for moment in (0.0, 0.5, 1.0):
        adapter = DraftAdapter(speak=scripted)
        elsewhere = []

        def close(progress, adapter=adapter, moment=moment, elsewhere=elsewhere):
            if progress.fraction == moment and not elsewhere:
                elsewhere.append(threading.Thread(target=asyncio.run, args=[adapter.aclose()]))
                elsewhere[0].start()

        calls = [adapter.synthesize(HELLO, on_progress=close) for _ in range(3)]
        for end in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(end, Speech | BackendUnavailable), end
        await adapter.aclose()  # where calls ended before they could tell of their middle
        assert not threads()
        for thread in elsewhere:
            await asyncio.to_thread(thread.join)


def test_the_end_of_asyncio_run_stops_the_call(scripted):
    adapter = DraftAdapter(speak=scripted)

    async def main():
        asyncio.ensure_future(adapter.synthesize(LONG))  # noqa: RUF006 - left behind on purpose
        await scripted.begun()

    asyncio.run(main())
    for thread in threads():
        thread.join(30)
    assert scripted.ended == ["cancelled"]


def test_a_program_that_forgets_everything_ends_at_once():
    """Its event loop is not closed and its task not cancelled, and the text would take hours."""
    script = (
        "import asyncio, sys\n"
        "from storycore_tts.adapters.draft import DraftAdapter\n"
        "from storycore_tts.domain.requests import SpeechRequest\n"
        "assert not {'soxr', 'espeakng_loader', 'py3langid'} & set(sys.modules)\n"
        "def speak(text, voice, *, cancelled, on_fraction):\n"
        "    on_fraction(0.5)\n"
        "    while not cancelled(): pass\n"
        "    raise SystemExit\n"
        "adapter, loop = DraftAdapter(speak=speak), asyncio.new_event_loop()\n"
        "def hear(progress):\n"
        "    if progress.fraction: loop.stop()\n"
        "request = SpeechRequest('Hello.', 'Ryan')\n"
        "task = loop.create_task(adapter.synthesize(request, on_progress=hear))\n"
        "loop.run_forever()\n"
        "sys.exit(3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert ended.returncode == 3, ended.stderr


async def test_an_adapter_that_was_used_can_be_collected():
    adapter = DraftAdapter()
    await adapter.synthesize(HELLO)
    kept = weakref.ref(adapter)
    del adapter
    gc.collect()
    assert kept() is None


def check_any_text(text, speaker, language):
    with contextlib.suppress(TTSError):
        request = SpeechRequest(text, speaker, language=language)
        samples = asyncio.run(DraftAdapter().synthesize(request)).samples
        assert not is_silent(samples)
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1.0


ANY_TEXT = given(
    text=st.text(max_size=60),
    speaker=st.sampled_from(SPEAKERS),
    language=st.sampled_from(["Auto", "Chinese", "English", "Japanese", "Korean", "Russian"]),
)


@settings(max_examples=20, deadline=None)
@ANY_TEXT
@example("a\0b", "Ryan", "English")
@example("[[ <b>&amp; \x01150P", "Ryan", "English")
@example("\ud800", "Ryan", "Auto")
@example("9" * 60, "Eric", "Chinese")
def test_any_text_is_spoken_or_refused_with_a_typed_error(text, speaker, language):
    check_any_text(text, speaker, language)


@pytest.mark.soak
@settings(max_examples=2000, deadline=None)
@ANY_TEXT
def test_thousands_of_texts_are_spoken_or_refused_with_a_typed_error(text, speaker, language):
    check_any_text(text, speaker, language)
