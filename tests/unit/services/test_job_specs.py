import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.domain.consent import ConsentReference
from storycore_tts.domain.jobs import JobKind
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import MAX_SEED, Sampling
from storycore_tts.errors import InvalidRequest
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
    given = {"voice_consent": ConsentReference("Mia", "ab" * 16), "consent": "Mia", "purpose": "ad"}
    only = transcript is None
    request = CloneRequest("Hello.", reference, x_vector_only=only, sampling=sampling, **given)
    back, _ = await through_json(request, Rendering(), reference="kept")
    np.testing.assert_array_equal(back.reference.samples, reference.samples)
    assert back.reference.transcript == reference.transcript
    assert back.sampling == sampling
    assert {name: getattr(back, name) for name in given} == given
    assert back.x_vector_only == request.x_vector_only
    assert back.job_id == JOB


async def test_a_training_is_the_same_after_it_was_kept():
    request = TrainingRequest("/data/mia", "/voices/mia", "mia", num_epochs=3, learning_rate=3e-5)
    assert (await through_json(request, None))[0] == replace(request, job_id=JOB)


# What version 0.1 wrote; an Idempotency-Key that was sent with it may come again after an upgrade.
SAMPLING_OF_0_1 = {
    "max_new_tokens": 2048,
    "top_p": 0.8,
    "top_k": 20,
    "temperature": 1.0,
    "repetition_penalty": 1.05,
    "seed": None,
}
SPEECH_OF_0_1 = {
    "text": "Hello.",
    "speaker": "Ryan",
    "checkpoint": None,
    "language": "Auto",
    "instruct": "",
    "sampling": SAMPLING_OF_0_1,
    "project": "",
}
CLONE_OF_0_1 = {
    "text": "Hello.",
    "reference": "up_1",
    "x_vector_only": False,
    "language": "Auto",
    "sampling": SAMPLING_OF_0_1,
    "checkpoint": None,
    "project": "",
    "instruct": "",
    "transcript": "Hi.",
}
TRAINING_OF_0_1 = {
    "dataset": "/data",
    "output_dir": "/out",
    "speaker_name": "mia",
    "test_text": "Hello, this is a test of my new voice.",
    "language": "English",
    "model_choice": "1.7B",
    "learning_rate": 2e-5,
    "num_epochs": 10,
    "batch_size": 1,
    "gradient_accumulation_steps": 4,
    "validate_every": 2,
    "project": "",
}
REFERENCE = ReferenceAudio(np.sin(np.arange(24_000, dtype=np.float32) / 7) / 3, 24_000, "Hi.")


@pytest.mark.parametrize(
    ("request_", "written"),
    [
        (SpeechRequest("Hello.", "Ryan"), SPEECH_OF_0_1),
        (CloneRequest("Hello.", REFERENCE), CLONE_OF_0_1),
        (TrainingRequest("/data", "/out", "mia"), TRAINING_OF_0_1),
    ],
    ids=["speech", "clone", "training"],
)
def test_a_request_is_written_as_before_whatever_was_added_since(request_, written):
    document = to_json(request_, rendering=Rendering(), reference="up_1")
    rendering = {"format": "wav", "speed": 1.0, "pitch": 0.0}
    assert document == {"request": written, "rendering": rendering}


@dataclass(frozen=True)
class NewerSampling(Sampling):
    warmth: float = 0.5


@pytest.mark.parametrize("warmth", [0.5, 0.7])
async def test_an_older_version_reads_what_it_knows_and_refuses_the_rest(warmth):
    request = SpeechRequest("Hello.", "Ryan", sampling=NewerSampling(warmth=warmth))
    if warmth == 0.5:
        assert await through_json(request, Rendering())
        return
    with pytest.raises(InvalidRequest, match="sets warmth, unknown to this version") as caught:
        await through_json(request, Rendering())
    assert "upgrade" in caught.value.hint


async def test_a_long_recording_leaves_the_event_loop_to_others():
    samples = np.sin(np.arange(48_000 * 300, dtype=np.float32) / 7) / 3
    request = CloneRequest("Hello.", ReferenceAudio(samples, 48_000, "What it says."))
    document = to_json(request, reference="kept")
    kept = {"kept": encode_exactly(samples, 48_000)}
    fetch = partial(fetched, kept)
    await stays_free(
        lambda: from_json(JobKind.CLONE, document, job_id=JOB, fetch=fetch), within=0.1
    )
