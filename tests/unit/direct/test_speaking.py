"""Speaking with the real package on tiny models."""

import asyncio
import contextlib
import dataclasses
import itertools
import math
import shutil
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
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.testing.contract import tone_reference

from .conftest import until

SHORT = "Good morning."
LONG = "The old house at the end of the road had been empty for years, they said. " * 3
REFERENCE = dataclasses.replace(tone_reference(220.0), transcript="Oh, the tone goes on and on.")


def say(adapter, text=SHORT, on_progress=None, **settings):
    return adapter.synthesize(SpeechRequest(text, "ryan", **settings), on_progress=on_progress)


def engine_of(adapter, kind="custom_voice"):
    """Return the engine of the last model of a kind that was used."""
    loaded = adapter._pool._loaded_models()
    return [model.engine for model in loaded if model.key.checkpoint.kind == kind][-1]


class Steps:
    """Counts the talker's steps, and can call something at one of them."""

    def __init__(self, adapter):
        self.count, self.at = 0, {}
        engine_of(adapter)._model.model.talker.register_forward_pre_hook(self)

    def __call__(self, module, args):
        self.count += 1
        self.at.get(self.count, lambda: None)()

    async def reached(self, number):
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        self.at[number] = lambda: loop.call_soon_threadsafe(reached.set)
        await reached.wait()


@pytest.fixture
async def warm(adapter):
    """An adapter whose model is loaded."""
    await say(adapter, "Hi.")
    return adapter


async def test_a_batch_gives_each_its_own_line(open_adapter):
    adapter = open_adapter(direct={"batch_window_ms": 1000, "max_batch_size": 5})
    texts = [" ".join(["word"] * count) for count in (2, 9, 4, 12, 6)]
    together = await asyncio.gather(*(say(adapter, text) for text in texts))
    assert len({speech.seed for speech in together}) == 1, "they were no batch"
    by_text = sorted(zip(texts, together, strict=True), key=lambda pair: len(pair[0]))
    for (_, shorter), (_, longer) in itertools.pairwise(by_text):
        assert shorter.duration < longer.duration


async def test_the_processs_own_random_numbers_are_left_alone(tiny_torch, warm):
    tiny_torch.manual_seed(1)
    expected = tiny_torch.rand(3)
    tiny_torch.manual_seed(1)
    await say(warm)
    assert tiny_torch.equal(tiny_torch.rand(3), expected)


async def test_a_cancelled_call_stops_within_three_steps(warm):
    steps = Steps(warm)
    call = asyncio.ensure_future(say(warm, LONG))
    await steps.reached(10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    at_cancel = steps.count
    await until(warm._pool._changed, lambda: not warm._pool._busy)
    assert steps.count - at_cancel <= 3


async def test_the_others_in_a_batch_go_on_and_end_soon_when_the_longest_is_cancelled(open_adapter):
    adapter = open_adapter(direct={"batch_window_ms": 1000, "max_batch_size": 3})
    await asyncio.gather(*(say(adapter, "Hi.") for _ in range(3)))
    steps, lines = Steps(adapter), ["Good morning. " * 3, SHORT, LONG]
    calls = [asyncio.ensure_future(say(adapter, text)) for text in lines]
    await steps.reached(3)
    calls[2].cancel()
    longer, shorter = await asyncio.gather(*calls[:2])
    assert steps.count <= len(longer.samples) // SAMPLES_PER_FRAME + 3
    assert longer.duration == (await say(adapter, lines[0])).duration > shorter.duration
    with pytest.raises(asyncio.CancelledError):
        await calls[2]


async def test_each_line_of_a_batch_has_its_own_budget(endless_tiny_places, open_adapter):
    batches = {"batch_window_ms": 1000, "max_batch_size": 2}
    adapter = open_adapter(endless_tiny_places, direct=batches)
    lines = (say(adapter, "Hi.", sampling=Sampling(max_new_tokens=most)) for most in (12, 30))
    ended = await asyncio.gather(*lines, return_exceptions=True)
    assert [error.partial_duration for error in ended] == [11 / 12.5, 29 / 12.5]
    with pytest.raises(RunawayGeneration):
        await say(adapter, "Hi", sampling=Sampling(max_new_tokens=1, seed=1))


async def test_a_runaway_stream_ends_with_the_error(endless_tiny_places, open_adapter):
    request = SpeechRequest("Hi.", "ryan", sampling=Sampling(max_new_tokens=20))
    stream = open_adapter(endless_tiny_places).synthesize_stream(request)
    heard = []
    with pytest.raises(RunawayGeneration):
        [heard.append(chunk.duration) async for chunk in stream]
    assert sum(heard) == pytest.approx(19 / 12.5)


async def test_what_differs_from_the_settings_or_the_request_is_warned_of(open_adapter, adapter):
    small = open_adapter(model_choice="0.6B", precision="bf16")
    assert not small.capabilities.instruct
    warnings = (await say(small, instruct="whisper")).warnings
    assert any("ignores instruct" in warning for warning in warnings)
    assert any("fp32" in warning for warning in warnings)
    short = dataclasses.replace(tone_reference(220.0, seconds=1.0), transcript="word " * 40)
    warnings = (await adapter.clone(CloneRequest(SHORT, short, instruct="Whisper."))).warnings
    assert any("clones ignore instruct" in warning for warning in warnings)
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
    assert not np.array_equal(first.samples, timbre.samples)


async def test_a_checkpoint_of_ones_own_speaks(tiny_models, adapter):
    folder = str(tiny_models.path("custom_voice", "0.6B"))
    speech = await adapter.synthesize(SpeechRequest(SHORT, "Sohee", checkpoint=folder))
    assert (speech.model, speech.speaker) == (folder, "sohee")
    with pytest.raises(UnknownSpeaker):
        await adapter.synthesize(SpeechRequest(SHORT, "Nobody", checkpoint=folder))
    with pytest.raises(InvalidRequest, match="to clone voices"):
        await adapter.clone(CloneRequest(SHORT, REFERENCE, checkpoint=folder))


async def test_no_memory_is_told_with_advice(tiny_torch, warm):
    held = []

    def fail():
        tensor = tiny_torch.zeros(8)
        held.append(weakref.ref(tensor))
        raise tiny_torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    Steps(warm).at.update({3: fail, 4: fail})
    with pytest.raises(OutOfMemory, match="max_batch_size") as raised:
        await say(warm)
    assert raised.value.__cause__ is not None
    assert [one() for one in held] == [None, None], "who keeps the error keeps the memory"
    await say(warm)


async def test_a_gpu_that_is_lost_is_told_by_status_and_to_all_who_come_later(open_adapter):
    adapter = open_adapter()
    await say(adapter, "Hi.")

    def fail():
        raise RuntimeError(
            "CUDA error: device-side assert triggered\nCUDA kernel errors might be …"
        )

    Steps(adapter).at[3] = fail
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match=r"can no longer be used.*device-side assert"):
            await say(adapter)
    status = await adapter.status()
    assert not status.reachable
    assert "Restart the program" in status.problems[0].advice


@contextlib.contextmanager
def spoilt(adapter, value):
    """Let the codec's sound of the first row be no number."""
    decoder = engine_of(adapter)._model.model.speech_tokenizer.model.decoder

    def spoil(module, args, output):
        output[0] = value

    hook = decoder.register_forward_hook(spoil)
    try:
        yield
    finally:
        hook.remove()


async def test_samples_that_are_no_numbers_are_an_error_of_their_own_line(warm):
    tts = TextToSpeech(warm, name="direct", defaults=Defaults())
    with spoilt(warm, math.nan):
        longer, shorter = await asyncio.gather(
            say(tts, SHORT), say(tts, "Hi."), return_exceptions=True
        )
    assert isinstance(longer, GenerationFailed)
    assert "not numbers" in longer.message
    assert np.isfinite(shorter.samples).all()


async def test_a_stream_of_no_numbers_is_an_error(warm):
    tts = TextToSpeech(warm, name="direct", defaults=Defaults())
    with spoilt(warm, math.inf), pytest.raises(GenerationFailed, match="not numbers"):
        async for _ in tts.synthesize_stream(SpeechRequest("Hi.", "ryan")):
            pass


async def test_the_last_layers_last_state_is_all_that_is_kept(warm):
    """Every layer's is 3.9 GB for 16 lines of 2,048 tokens at 1.7B."""
    model = engine_of(warm)._model.model
    generate, sizes = model.talker.generate, []

    def listen(**options):
        result = generate(**options)
        sizes.extend(
            layer.untyped_storage().nbytes() for step in result.hidden_states for layer in step[0]
        )
        return result

    model.talker.generate = listen
    try:
        await say(warm)
    finally:
        del model.talker.generate
    row = model.config.talker_config.hidden_size * 4
    assert set(sizes) == {row}


async def test_a_gpu_that_has_failed_ends_no_thread(tiny_torch, open_adapter, monkeypatch):
    """It refuses to free memory, too; without the thread the next line would have no answer."""
    adapter = open_adapter()  # its engine is spoilt
    await say(adapter, "Hi.")

    def fail():
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(tiny_torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(tiny_torch.cuda, "empty_cache", fail)
    await asyncio.to_thread(engine_of(adapter).unload)


async def test_a_failing_model_is_told_with_its_own_words(warm):
    def fail():
        raise RuntimeError("shapes do not match")

    Steps(warm).at[3] = fail
    with pytest.raises(GenerationFailed, match="RuntimeError: shapes do not match") as raised:
        await say(warm)
    assert raised.value.exception_type == "RuntimeError"


async def test_whole_numbers_are_sampled_with_too(warm):
    drawn = {"top_p": 1, "temperature": 2, "repetition_penalty": 2}
    same = {name: float(value) for name, value in drawn.items()}
    first, second = [
        (await say(warm, sampling=Sampling(**numbers, seed=5))).samples for numbers in (drawn, same)
    ]
    assert np.array_equal(first, second)


async def test_damaged_weights_are_named(tiny_models, adapter, tmp_path):
    damaged = shutil.copytree(tiny_models.path("base"), tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BackendUnavailable, match="Check that the download is complete"):
        await adapter.clone(CloneRequest(SHORT, REFERENCE, checkpoint=str(damaged)))


def test_an_adapter_outlives_its_event_loop(adapter):
    first = asyncio.run(say(adapter, sampling=Sampling(seed=3)))
    engine = engine_of(adapter)
    again = asyncio.run(say(adapter, sampling=Sampling(seed=3)))
    assert engine_of(adapter) is engine, "the model was loaded twice"
    np.testing.assert_array_equal(first.samples, again.samples)
