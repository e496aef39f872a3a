"""Speaking with the real package on tiny models."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import weakref

import numpy as np
import pytest

from storycore_tts import (
    BackendUnavailable,
    CloneRequest,
    GenerationFailed,
    InvalidRequest,
    OutOfMemory,
    RunawayGeneration,
    Sampling,
    SpeechRequest,
    UnknownSpeaker,
)
from storycore_tts.adapters.direct.streaming import SAMPLES_PER_FRAME
from storycore_tts.testing.contract import tone_reference

SHORT = "Good morning."
LONG = "The old house at the end of the road had been empty for years, they said. " * 3
REFERENCE = dataclasses.replace(tone_reference(220.0), transcript="Oh, the tone goes on and on.")


def engine_of(adapter, kind="custom_voice"):
    """Return the engine of the last model of a kind that was used."""
    loaded = adapter._pool._loaded_models()
    return [model.engine for model in loaded if model.key.checkpoint.kind == kind][-1]


class Steps:
    """Counts the talker's steps, and can fail or call back at one of them."""

    def __init__(self, adapter):
        self.count = 0
        self.at = {}
        engine_of(adapter)._model.model.talker.register_forward_pre_hook(self)

    def __call__(self, module, args):
        self.count += 1
        if self.count in self.at:
            self.at[self.count]()


async def idle(adapter):
    """Wait until nothing is spoken any more."""

    def wait():
        pool = adapter._pool
        with pool._changed:
            assert pool._changed.wait_for(lambda: not pool._busy, 60)

    await asyncio.to_thread(wait)


@pytest.fixture
async def warm(adapter):
    """An adapter whose model is loaded."""
    await adapter.synthesize(SpeechRequest("Hi.", "Ryan"))
    return adapter


async def test_a_batch_gives_each_its_own_line(models, open_adapter):
    adapter = open_adapter(models, direct={"batch_window_ms": 1000, "max_batch_size": 5})
    texts = [" ".join(["word"] * count) for count in (2, 9, 4, 12, 6)]
    together = await asyncio.gather(*(adapter.synthesize(SpeechRequest(t, "ryan")) for t in texts))
    assert len({speech.seed for speech in together}) == 1, "they were no batch"
    by_text = sorted(zip(texts, together, strict=True), key=lambda pair: len(pair[0]))
    for (_, shorter), (_, longer) in itertools.pairwise(by_text):
        assert shorter.duration < longer.duration


async def test_the_processs_own_random_numbers_are_left_alone(torch, warm):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    await warm.synthesize(SpeechRequest(SHORT, "ryan"))
    assert torch.equal(torch.rand(3), expected)


async def test_a_cancelled_call_stops_within_three_steps(warm):
    steps, loop = Steps(warm), asyncio.get_running_loop()
    call = asyncio.ensure_future(warm.synthesize(SpeechRequest(LONG, "ryan")))
    reached = asyncio.Event()
    steps.at[10] = lambda: loop.call_soon_threadsafe(reached.set)
    await reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    at_cancel = steps.count
    await idle(warm)
    assert steps.count - at_cancel <= 3


async def test_the_others_in_a_batch_go_on(models, open_adapter):
    adapter = open_adapter(models, direct={"batch_window_ms": 1000, "max_batch_size": 3})
    lines = ["Good morning. " * 3, SHORT, LONG]
    heard = asyncio.Event()
    calls = [
        asyncio.ensure_future(
            adapter.synthesize(
                SpeechRequest(text, "ryan"),
                on_progress=lambda news: heard.set() if news.message else None,
            )
        )
        for text in lines
    ]
    await heard.wait()
    calls[2].cancel()  # the longest one
    others = await asyncio.gather(*calls[:2])
    alone = await adapter.synthesize(SpeechRequest(lines[0], "ryan"))
    assert others[0].duration == alone.duration > others[1].duration
    with pytest.raises(asyncio.CancelledError):
        await calls[2]


async def test_a_batch_ends_soon_when_its_longest_line_is_cancelled(models, open_adapter):
    adapter = open_adapter(models, direct={"max_batch_size": 2, "batch_window_ms": 1000})
    await asyncio.gather(*(adapter.synthesize(SpeechRequest("Hi.", "ryan")) for _ in range(2)))
    steps = Steps(adapter)
    short = asyncio.ensure_future(adapter.synthesize(SpeechRequest(SHORT, "ryan")))
    long = asyncio.ensure_future(adapter.synthesize(SpeechRequest(LONG, "ryan")))
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    steps.at[3] = lambda: loop.call_soon_threadsafe(reached.set)
    await reached.wait()
    long.cancel()
    speech = await short
    assert steps.count <= len(speech.samples) // SAMPLES_PER_FRAME + 3


async def test_each_line_of_a_batch_has_its_own_budget(endless_models, open_adapter):
    adapter = open_adapter(endless_models, direct={"batch_window_ms": 1000, "max_batch_size": 2})
    requests = [
        SpeechRequest("Hi.", "ryan", sampling=Sampling(max_new_tokens=tokens))
        for tokens in (12, 30)
    ]
    ended = await asyncio.gather(*map(adapter.synthesize, requests), return_exceptions=True)
    assert [error.partial_duration for error in ended] == [11 / 12.5, 29 / 12.5]


async def test_a_runaway_stream_ends_with_the_error(endless_models, open_adapter):
    adapter = open_adapter(endless_models)
    request = SpeechRequest("Hi.", "ryan", sampling=Sampling(max_new_tokens=20))
    seconds = 0.0

    async def listen():
        nonlocal seconds
        async for chunk in adapter.synthesize_stream(request):
            seconds += chunk.duration

    with pytest.raises(RunawayGeneration):
        await listen()
    assert seconds == pytest.approx(19 / 12.5)


async def test_instruct_with_the_small_model_is_warned_of(models, open_adapter):
    adapter = open_adapter(models, model_choice="0.6B")
    assert not adapter.capabilities.instruct
    speech = await adapter.synthesize(SpeechRequest(SHORT, "ryan", instruct="whisper"))
    assert any("does not listen to instruct" in warning for warning in speech.warnings)


async def test_a_changed_precision_is_warned_of(models, open_adapter):
    adapter = open_adapter(models, precision="bf16")
    speech = await adapter.synthesize(SpeechRequest(SHORT, "ryan"))
    assert any("fp32" in warning for warning in speech.warnings)


async def test_doubtful_references_are_warned_of(adapter):
    short = dataclasses.replace(tone_reference(220.0, seconds=1.0), transcript="word " * 40)
    warnings = (await adapter.clone(CloneRequest(SHORT, short))).warnings
    assert any("3 to 15 s work best" in warning for warning in warnings)
    assert any("transcript of other words" in warning for warning in warnings)


async def test_a_reference_is_prepared_once(adapter):
    request = CloneRequest(SHORT, REFERENCE, sampling=Sampling(seed=1))
    first = await adapter.clone(request)
    engine = engine_of(adapter, "base")
    assert engine._prompts.size > 0
    prepare = engine._model.create_voice_clone_prompt
    engine._model.create_voice_clone_prompt = None  # is not called again
    again = await adapter.clone(request)
    engine._model.create_voice_clone_prompt = prepare
    np.testing.assert_array_equal(again.samples, first.samples)
    timbre = await adapter.clone(dataclasses.replace(request, x_vector_only=True))
    assert first.samples.shape != timbre.samples.shape or (first.samples != timbre.samples).any()


async def test_a_checkpoint_of_ones_own_speaks(models, adapter):
    folder = str(models.path("custom_voice", "0.6B"))
    speech = await adapter.synthesize(SpeechRequest(SHORT, "Sohee", checkpoint=folder))
    assert (speech.model, speech.speaker) == (folder, "sohee")
    with pytest.raises(UnknownSpeaker):
        await adapter.synthesize(SpeechRequest(SHORT, "Nobody", checkpoint=folder))
    with pytest.raises(InvalidRequest, match="to clone voices"):
        await adapter.clone(CloneRequest(SHORT, REFERENCE, checkpoint=folder))


async def test_no_memory_is_told_with_advice(torch, warm):
    held = []

    def fail():
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    Steps(warm).at[3] = fail
    with pytest.raises(OutOfMemory, match="max_batch_size") as raised:
        await warm.synthesize(SpeechRequest(SHORT, "ryan"))
    assert raised.value.__cause__ is not None
    assert held[0]() is None, "who keeps the error keeps the memory"
    await warm.synthesize(SpeechRequest(SHORT, "ryan"))


async def test_a_gpu_that_has_failed_ends_no_thread(torch, warm, monkeypatch):
    """It refuses to free memory, too; without the thread the next line would have no answer."""

    def fail():
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", fail)
    await asyncio.to_thread(engine_of(warm).unload)


async def test_a_failing_model_is_told_with_its_own_words(warm):
    def fail():
        raise RuntimeError("shapes do not match")

    Steps(warm).at[3] = fail
    with pytest.raises(GenerationFailed, match="RuntimeError: shapes do not match") as raised:
        await warm.synthesize(SpeechRequest(SHORT, "ryan"))
    assert raised.value.exception_type == "RuntimeError"


async def test_whole_numbers_are_sampled_with_too(warm):
    drawn = {"top_p": 1, "temperature": 2, "repetition_penalty": 2}
    whole = Sampling(**drawn, seed=5)
    same = Sampling(**{name: float(value) for name, value in drawn.items()}, seed=5)
    first, second = [
        await warm.synthesize(SpeechRequest(SHORT, "ryan", sampling=sampling))
        for sampling in (whole, same)
    ]
    assert np.array_equal(first.samples, second.samples)


async def test_a_budget_of_a_single_token_is_run_into(warm):
    with pytest.raises(RunawayGeneration):
        await warm.synthesize(SpeechRequest("Hi", "ryan", sampling=Sampling(max_new_tokens=1)))


async def test_damaged_weights_are_named(models, adapter, tmp_path):
    for file in models.path("base").rglob("*"):
        if file.is_file():
            target = tmp_path / file.relative_to(models.path("base"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BackendUnavailable, match="Is the download complete"):
        await adapter.clone(CloneRequest(SHORT, REFERENCE, checkpoint=str(tmp_path)))


def test_an_adapter_outlives_its_event_loop(adapter):
    request = SpeechRequest(SHORT, "ryan", sampling=Sampling(seed=3))
    first = asyncio.run(adapter.synthesize(request))
    engine = engine_of(adapter)
    again = asyncio.run(adapter.synthesize(request))
    assert engine_of(adapter) is engine, "the model was loaded twice"
    np.testing.assert_array_equal(first.samples, again.samples)
