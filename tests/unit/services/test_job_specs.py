import json
from dataclasses import replace
from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.domain.jobs import JobKind
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import MAX_SEED, Sampling
from storycore_tts.ports.operations import operation_for
from storycore_tts.services.job_specs import from_json, to_json
from storycore_tts.services.rendering import Rendering
from storycore_tts.sound.files import encode_exactly
from storycore_tts.testing.event_loop import stays_free

JOB = "0b0e7a52-3a58-4b1f-9f39-7a8f0f7d2b11"
WORDS = st.text("aäあ .,!'", min_size=1, max_size=60).filter(
    lambda text: any(map(str.isalpha, text))
)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0.01, 5),
    top_k=st.integers(0, 1000),
    seed=st.none() | st.integers(0, MAX_SEED),
)
RENDERINGS = st.builds(
    Rendering, st.sampled_from(["wav", "mp3", "opus"]), st.floats(0.25, 4), st.floats(-12, 12)
)


async def fetched(kept, name):
    return kept[name]


async def through_json(request, rendering, reference=None):
    kept = {}
    if reference is not None:
        recording = request.reference
        kept[reference] = encode_exactly(recording.samples, recording.sample_rate)
    document = json.loads(json.dumps(to_json(request, rendering=rendering, reference=reference)))
    kind, fetch = operation_for(request).job, partial(fetched, kept)
    return await from_json(kind, document, job_id=JOB, fetch=fetch)


@given(WORDS, WORDS, SAMPLINGS, RENDERINGS)
async def test_a_line_is_the_same_after_it_was_kept(text, instruct, sampling, rendering):
    request = SpeechRequest(text, "Ryan", instruct=instruct, sampling=sampling, language="French")
    assert await through_json(request, rendering) == (replace(request, job_id=JOB), rendering)


@given(st.none() | WORDS, SAMPLINGS)
async def test_a_clone_is_the_same_after_it_was_kept(transcript, sampling):
    samples = np.sin(np.arange(24_000, dtype=np.float32) / 7) / 3
    reference = ReferenceAudio(samples, 24_000, transcript)
    request = CloneRequest("Hello.", reference, x_vector_only=transcript is None, sampling=sampling)
    back, _ = await through_json(request, Rendering(), reference="kept")
    np.testing.assert_array_equal(back.reference.samples, reference.samples)
    assert back.reference.transcript == reference.transcript
    assert back.sampling == sampling
    assert back.x_vector_only == request.x_vector_only
    assert back.job_id == JOB


async def test_a_training_is_the_same_after_it_was_kept():
    request = TrainingRequest("/data/mia", "/voices/mia", "mia", num_epochs=3, learning_rate=3e-5)
    assert (await through_json(request, None))[0] == replace(request, job_id=JOB)


async def test_a_long_recording_leaves_the_event_loop_to_others():
    samples = np.sin(np.arange(48_000 * 300, dtype=np.float32) / 7) / 3
    request = CloneRequest("Hello.", ReferenceAudio(samples, 48_000, "What it says."))
    document = to_json(request, reference="kept")
    kept = {"kept": encode_exactly(samples, 48_000)}
    fetch = partial(fetched, kept)
    await stays_free(
        lambda: from_json(JobKind.CLONE, document, job_id=JOB, fetch=fetch), within=0.1
    )
