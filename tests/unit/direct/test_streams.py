"""Speech that is heard while it is being made."""

import dataclasses
import itertools

import numpy as np
import pytest

from storycore_tts import CloneRequest, Sampling, SpeechRequest, Stage
from storycore_tts.adapters.direct.streaming import LEFT_CONTEXT, SAMPLES_PER_FRAME
from storycore_tts.testing.contract import tone_reference

TEXT = "The old house at the end of the road had been empty for years."
# A piece is decoded with what the codec can hear of what was before it, so what is left is rounding
# and the far end of its memory: −54 dB at the worst sample.
TOLERANCE = 2e-3
REFERENCE = dataclasses.replace(tone_reference(220.0), transcript="Oh, the tone goes on and on.")
SEEDED = Sampling(seed=11)
SPEAKER = SpeechRequest(TEXT, "ryan", sampling=SEEDED)
REQUESTS = {
    "a speaker": SPEAKER,
    "a clone": CloneRequest(TEXT, REFERENCE, sampling=SEEDED),
    "a timbre": CloneRequest(TEXT, REFERENCE, x_vector_only=True, sampling=SEEDED),
}


@pytest.mark.parametrize("kind", REQUESTS)
async def test_the_pieces_are_the_whole(adapter, kind):
    request = REQUESTS[kind]
    chunks = [chunk async for chunk in adapter.synthesize_stream(request)]
    whole = adapter.synthesize if request is SPEAKER else adapter.clone
    speech = await whole(request)
    joined = np.concatenate([chunk.samples for chunk in chunks])
    assert len(joined) > LEFT_CONTEXT * SAMPLES_PER_FRAME / 2
    assert joined.shape == speech.samples.shape
    assert np.abs(joined - speech.samples).max() < TOLERANCE
    assert {(chunk.seed, chunk.sample_rate) for chunk in chunks} == {(11, speech.sample_rate)}
    for before, after in itertools.pairwise(chunks):
        assert after.start == pytest.approx(before.start + before.duration)


async def test_pieces_are_as_long_as_configured_and_come_while_the_rest_is_made(open_adapter):
    adapter = open_adapter(direct={"first_chunk_frames": 3, "chunk_frames": 7})
    heard, frames = [], []
    async for chunk in adapter.synthesize_stream(SPEAKER, on_progress=heard.append):
        if not frames:
            assert not any(news.fraction == 1.0 for news in heard if news.stage is Stage.GENERATING)
        frames.append(len(chunk.samples) // SAMPLES_PER_FRAME)
    assert heard[-1].fraction == 1.0
    assert frames[0] == 3
    assert set(frames[1:-1]) == {7}
    assert 0 < frames[-1] <= 7


async def test_a_fresh_seed_is_told_and_repeats_the_stream(adapter):
    fresh = SpeechRequest("Good morning.", "ryan")
    chunks = [chunk async for chunk in adapter.synthesize_stream(fresh)]
    again = dataclasses.replace(fresh, sampling=Sampling(seed=chunks[0].seed))
    repeated = [chunk async for chunk in adapter.synthesize_stream(again)]
    for one, other in zip(chunks, repeated, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
