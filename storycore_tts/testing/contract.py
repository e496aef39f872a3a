"""The contract of all adapters, as a test suite to subclass.

::

    class TestMyAdapter(AdapterContract):
        @pytest.fixture
        async def adapter(self):
            adapter = MyAdapter(...)
            yield adapter
            await adapter.aclose()

Tests of capabilities that an adapter does not declare are skipped. Requires pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from storycore_tts.domain.parameters import parameters_of
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import Sampling, SamplingParameters
from storycore_tts.domain.speech import Speech
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.errors import InvalidRequest, UnknownSpeaker, UnsupportedByBackend
from storycore_tts.pipeline.calls import Call, Dispatcher
from storycore_tts.ports import (
    Adapter,
    SpeechSynthesizer,
    StreamingSynthesizer,
    VoiceCloner,
    VoiceTrainer,
)
from storycore_tts.ports.operations import OPERATIONS
from storycore_tts.sound.files import encode
from storycore_tts.sound.samples import SAMPLE_RATE, is_silent

from .event_loop import stays_free

SHORT = "Good morning, how are you?"
LINE = "The old house at the end of the road had been empty for years, or so they all said. "
LONG = LINE * 3
SEEDED = Sampling(seed=1234)


@pytest.mark.asyncio
class AdapterContract:
    """Base class: name your subclass ``Test…`` and define an ``adapter`` fixture."""

    @pytest.fixture
    def adapter(self) -> Adapter:
        """The adapter under test, new for each test; your fixture closes it afterwards."""
        raise NotImplementedError("a subclass of AdapterContract provides the fixture 'adapter'")

    @pytest.fixture
    def speaker(self) -> str:
        """The name of one of the adapter's speakers."""
        return "Ryan"

    @pytest.fixture
    def reference(self) -> ReferenceAudio:
        """A recording to clone; override it if the adapter needs real speech."""
        return tone_reference(220.0)

    @pytest.fixture
    def training(self) -> TrainingRequest | None:
        """A training request that takes a minute at most; None if the backend cannot train here."""
        return None

    # Capabilities and status

    async def test_it_implements_the_ports_that_it_names(self, adapter: Adapter) -> None:
        assert isinstance(adapter, Adapter)
        for operation in OPERATIONS:
            offered = bool(getattr(adapter.capabilities, operation.capability))
            assert isinstance(adapter, operation.port) >= offered, operation.name

    async def test_the_parameters_that_it_names_exist(self, adapter: Adapter) -> None:
        declared = (*parameters_of(SamplingParameters), *parameters_of(TrainingParameters))
        assert set(adapter.capabilities.parameters or ()) <= {one.name for one in declared}

    async def test_its_status_says_that_it_is_reachable(self, adapter: Adapter) -> None:
        status = await adapter.status()
        assert status.reachable, status.problems
        assert status.backend
        assert status.version
        assert status.models
        assert status.problems == ()

    async def test_a_port_that_it_lacks_is_refused_by_name(self, adapter: Adapter) -> None:
        backend = Dispatcher(adapter, "this one")
        for operation in OPERATIONS:
            if not operation.offered_by(adapter.capabilities):
                with pytest.raises(UnsupportedByBackend, match=f"one' cannot {operation.verb}"):
                    await backend.send(Call(operation))

    async def test_closing_twice_is_allowed(self, adapter: Adapter, speaker: str) -> None:
        await synthesizer(adapter).synthesize(SpeechRequest(SHORT, speaker))
        await adapter.aclose()
        await adapter.aclose()

    # Speech

    async def test_speech_is_mono_float32_at_24_khz(self, adapter: Adapter, speaker: str) -> None:
        speech = await synthesizer(adapter).synthesize(SpeechRequest(SHORT, speaker))
        check_speech(speech)
        assert speech.backend
        assert speech.model
        assert speech.speaker.casefold() == speaker.casefold()
        assert speech.finish_reason == "stop"
        assert speech.timings.total > 0
        assert speech.timings.queued >= 0
        assert speech.timings.generating > 0

    async def test_longer_texts_take_longer(self, adapter: Adapter, speaker: str) -> None:
        port = synthesizer(adapter)
        short = await port.synthesize(SpeechRequest(SHORT, speaker))
        long = await port.synthesize(SpeechRequest(LONG, speaker))
        assert long.duration > 2 * short.duration

    async def test_it_lists_speakers_and_speaks_with_each(self, adapter: Adapter) -> None:
        port = synthesizer(adapter)
        speakers = await port.speakers()
        assert len({speaker.name for speaker in speakers}) == len(speakers) > 0
        for speaker in speakers:
            speech = await port.synthesize(SpeechRequest("Yes, I am here.", speaker.name))
            check_speech(speech)
            assert speech.speaker == speaker.name

    async def test_speakers_are_found_in_any_case(self, adapter: Adapter) -> None:
        port = synthesizer(adapter)
        name = (await port.speakers())[0].name
        speech = await port.synthesize(SpeechRequest(SHORT, name.swapcase()))
        assert speech.speaker == name

    async def test_an_unknown_speaker_is_refused_with_the_list(self, adapter: Adapter) -> None:
        port = synthesizer(adapter)
        names = [speaker.name for speaker in await port.speakers()]
        heard: list[Progress] = []
        with pytest.raises(UnknownSpeaker) as refused:
            await port.synthesize(SpeechRequest(SHORT, f"{names[0]}x"), on_progress=heard.append)
        assert all(name in str(refused.value) for name in names)
        assert f"Did you mean '{names[0]}'?" in str(refused.value)
        assert not refused.value.retryable
        assert not any(progress.stage is Stage.GENERATING for progress in heard)

    @pytest.mark.parametrize(
        "text",
        [
            "«Él vino», dijo. ¿Cómo? ¡Así!",
            "你好，世界。今天天气很好。",
            "Привет, мир!",
            "שלום עולם",
            "She laughed 😂 and left…",
            'A "quote", <tag attr="1">, [brackets], {{braces}} & 100 % of it; [break=9] on.',
            "One line.\n\nAnother\tone.",
        ],
    )
    async def test_text_of_any_script_is_spoken(
        self, adapter: Adapter, speaker: str, text: str
    ) -> None:
        check_speech(await synthesizer(adapter).synthesize(SpeechRequest(text, speaker)))

    async def test_what_no_budget_can_hold_is_refused_before_any_work(self, speaker: str) -> None:
        with pytest.raises(InvalidRequest, match="too long for one generation"):
            SpeechRequest("word " * 20_000, speaker)

    async def test_a_seed_repeats_the_audio(self, adapter: Adapter, speaker: str) -> None:
        if not adapter.capabilities.seeds:
            pytest.skip("this adapter has no seeds")
        port = synthesizer(adapter)
        first = await port.synthesize(SpeechRequest(SHORT, speaker, sampling=SEEDED))
        again = await port.synthesize(SpeechRequest(SHORT, speaker, sampling=SEEDED))
        assert first.seed == again.seed == SEEDED.seed
        np.testing.assert_array_equal(first.samples, again.samples)

    async def test_a_fresh_seed_is_recorded(self, adapter: Adapter, speaker: str) -> None:
        if not adapter.capabilities.seeds:
            pytest.skip("this adapter has no seeds")
        port = synthesizer(adapter)
        fresh = await port.synthesize(SpeechRequest(SHORT, speaker))
        other = await port.synthesize(SpeechRequest(SHORT, speaker))
        assert fresh.seed is not None
        assert fresh.seed != other.seed
        repeated = await port.synthesize(
            SpeechRequest(SHORT, speaker, sampling=Sampling(seed=fresh.seed))
        )
        np.testing.assert_array_equal(fresh.samples, repeated.samples)

    # Progress, cancelling, concurrency

    async def test_progress_never_goes_back(self, adapter: Adapter, speaker: str) -> None:
        heard: list[Progress] = []
        await synthesizer(adapter).synthesize(
            SpeechRequest(SHORT, speaker), on_progress=heard.append
        )
        check_progress(heard)
        assert Stage.GENERATING in {progress.stage for progress in heard}

    async def test_a_listener_that_raises_ends_the_call(
        self, adapter: Adapter, speaker: str
    ) -> None:
        def listener(_: Progress) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await synthesizer(adapter).synthesize(
                SpeechRequest(SHORT, speaker), on_progress=listener
            )

    async def test_a_cancelled_call_ends_and_frees_its_place(
        self, adapter: Adapter, speaker: str
    ) -> None:
        port = synthesizer(adapter)
        started = asyncio.Event()
        call = asyncio.ensure_future(
            port.synthesize(SpeechRequest(LONG, speaker), on_progress=lambda _: started.set())
        )
        await asyncio.wait_for(started.wait(), 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, 30)
        check_speech(await port.synthesize(SpeechRequest(SHORT, speaker)))

    async def test_concurrent_calls_get_their_own_audio(
        self, adapter: Adapter, speaker: str
    ) -> None:
        port = synthesizer(adapter)
        texts = [" ".join(["word"] * count) for count in range(2, 18, 3)]
        together = await asyncio.gather(
            *(port.synthesize(SpeechRequest(text, speaker, sampling=SEEDED)) for text in texts)
        )
        for shorter, longer in itertools.pairwise(together):
            assert shorter.duration < longer.duration
        if not adapter.capabilities.seeds:
            return
        alone = await port.synthesize(SpeechRequest(texts[3], speaker, sampling=SEEDED))
        np.testing.assert_array_equal(alone.samples, together[3].samples)

    async def test_the_event_loop_stays_free(self, adapter: Adapter, speaker: str) -> None:
        port = synthesizer(adapter)
        await port.synthesize(SpeechRequest(SHORT, speaker))  # imports and connections
        await stays_free(lambda: port.synthesize(SpeechRequest(SHORT, speaker)), within=0.1)

    # Streaming

    async def test_a_stream_is_the_whole_in_pieces(self, adapter: Adapter, speaker: str) -> None:
        request = SpeechRequest(SHORT, speaker, sampling=SEEDED)
        chunks = [chunk async for chunk in streamer(adapter).synthesize_stream(request)]
        assert len(chunks) > 1
        for before, after in itertools.pairwise(chunks):
            assert after.start == pytest.approx(before.start + before.duration)
        joined = np.concatenate([chunk.samples for chunk in chunks])
        assert {chunk.sample_rate for chunk in chunks} == {SAMPLE_RATE}
        if not adapter.capabilities.seeds:
            return
        whole = await synthesizer(adapter).synthesize(request)
        assert {chunk.seed for chunk in chunks} == {SEEDED.seed}
        np.testing.assert_allclose(joined, whole.samples, atol=0.01)

    async def test_a_stream_that_is_left_early_frees_its_place(
        self, adapter: Adapter, speaker: str
    ) -> None:
        chunks = streamer(adapter).synthesize_stream(SpeechRequest(LONG, speaker))
        async with contextlib.aclosing(chunks):  # type: ignore[type-var]
            async for _ in chunks:
                break
        check_speech(await synthesizer(adapter).synthesize(SpeechRequest(SHORT, speaker)))

    # Cloning

    async def test_a_clone_is_speech_and_says_how_it_was_made(
        self, adapter: Adapter, reference: ReferenceAudio
    ) -> None:
        port = cloner(adapter)
        heard: list[Progress] = []
        request = CloneRequest(SHORT, reference, x_vector_only=True)
        speech = await port.clone(request, on_progress=heard.append)
        check_speech(speech)
        check_progress(heard)
        assert speech.x_vector_only
        assert any("x-vector only" in warning for warning in speech.warnings)

    async def test_a_clone_uses_the_transcript(
        self, adapter: Adapter, reference: ReferenceAudio
    ) -> None:
        known = dataclasses.replace(reference, transcript="Oh, the tone goes on and on and on.")
        speech = await cloner(adapter).clone(CloneRequest(SHORT, known))
        check_speech(speech)
        assert not speech.x_vector_only

    async def test_a_seed_repeats_a_clone(
        self, adapter: Adapter, reference: ReferenceAudio
    ) -> None:
        port = cloner(adapter)
        if not adapter.capabilities.seeds:
            pytest.skip("this adapter has no seeds")
        request = CloneRequest(SHORT, reference, x_vector_only=True, sampling=SEEDED)
        first, again = await port.clone(request), await port.clone(request)
        np.testing.assert_array_equal(first.samples, again.samples)

    # Training

    async def test_a_trained_voice_speaks_under_its_name(
        self, adapter: Adapter, training: TrainingRequest | None
    ) -> None:
        if training is None or not isinstance(adapter, VoiceTrainer):
            pytest.skip("this backend cannot train here")
        heard: list[Progress] = []
        voice = await adapter.train(training, on_progress=heard.append)
        check_progress(heard)
        assert {progress.stage for progress in heard} >= {Stage.LOADING, Stage.TRAINING}
        assert max(progress.epoch or 0 for progress in heard) == training.num_epochs
        assert voice.epochs == training.num_epochs
        assert voice.speaker_name == training.speaker_name
        assert len(voice.loss_history) == training.num_epochs
        assert voice.loss_history[-1] < voice.loss_history[0]
        speech = await synthesizer(adapter).synthesize(
            SpeechRequest(SHORT, voice.speaker_name, checkpoint=voice.checkpoint_path)
        )
        check_speech(speech)
        assert speech.model == voice.checkpoint_path


def synthesizer(adapter: Adapter) -> SpeechSynthesizer:
    """Return the adapter as a synthesizer; skip the test if it is not one."""
    if not adapter.capabilities.speech:
        pytest.skip("this adapter does not speak")
    assert isinstance(adapter, SpeechSynthesizer)
    return adapter


def cloner(adapter: Adapter) -> VoiceCloner:
    """Return the adapter as a cloner; skip the test if it is not one."""
    if not adapter.capabilities.cloning:
        pytest.skip("this adapter does not clone")
    assert isinstance(adapter, VoiceCloner)
    return adapter


def streamer(adapter: Adapter) -> StreamingSynthesizer:
    """Return the adapter as a streaming synthesizer; skip the test if it is not one."""
    if not adapter.capabilities.streaming:
        pytest.skip("this adapter does not stream")
    assert isinstance(adapter, StreamingSynthesizer)
    return adapter


def check_speech(speech: Speech) -> None:
    """Assert that it is mono float32 in −1..1 at 24 kHz, audible and of a plausible length."""
    assert speech.samples.dtype == np.float32
    assert speech.samples.ndim == 1
    assert speech.sample_rate == SAMPLE_RATE
    assert np.abs(speech.samples).max() <= 1.0
    assert not is_silent(speech.samples)
    assert speech.duration == len(speech.samples) / speech.sample_rate
    assert 0.1 < speech.duration < 120


def check_progress(heard: list[Progress]) -> None:
    """Assert that stages come in order and that fractions never decrease within a stage."""
    order = list(Stage)
    assert heard
    for before, after in itertools.pairwise(heard):
        assert order.index(before.stage) <= order.index(after.stage)
        if before.stage is after.stage and before.fraction is not None:
            assert after.fraction is None or after.fraction >= before.fraction
    assert all(0 <= p.fraction <= 1 for p in heard if p.fraction is not None)


def tone_reference(pitch: float, *, seconds: float = 4.0) -> ReferenceAudio:
    """Return a recording of a tone with some noise; ``pitch`` in Hz, ``seconds`` long."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    breath = 0.02 * np.random.default_rng(0).standard_normal(len(time))
    return ReferenceAudio((0.3 * np.sin(2 * np.pi * pitch * time) + breath).astype(np.float32))


def tone_dataset(folder: Path, *, recordings: int = 4) -> Path:
    """Write a training folder of 2 s recordings with transcripts; return the folder."""
    folder.mkdir()
    for number in range(recordings):
        samples = tone_reference(200.0 + 20.0 * number, seconds=2.0).samples
        (folder / f"{number}.wav").write_bytes(encode(samples, SAMPLE_RATE, ".wav"))
        (folder / f"{number}.txt").write_text(f"Recording number {number}.", encoding="utf-8")
    return folder
