"""A share of the requests, always the same ones."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.events import Routed
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import Sampling
from storycore_tts.pipeline.calls import Dispatcher
from storycore_tts.pipeline.rollout import Rollout, is_in_share, routing_key
from storycore_tts.ports import Capabilities

HELLO = SpeechRequest("Hello.", "Ryan")
VOICE = ReferenceAudio(np.ones(24_000, np.float32), transcript="Ah.")
OTHER_VOICE = ReferenceAudio(np.full(24_000, 0.5, np.float32), transcript="Ah.")
OTHER = SpeechRequest("Hello.", "Mia")
CLONE = CloneRequest("Hello.", VOICE)
TRAINING = TrainingRequest("/data", "/out", "mia")

shares = st.floats(0, 1)


@settings(max_examples=30)
@given(key=st.text(), one=shares, two=shares)
def test_a_growing_share_moves_keys_one_way_only_from_none_to_all(key, one, two):
    small, large = sorted((one, two))
    sides = [is_in_share(key, share) for share in (0, small, large, 1)]
    assert sides == sorted(sides)
    assert (sides[0], sides[-1]) == (False, True)


def test_where_a_key_lands_is_the_same_in_every_process_and_shares_are_shares():
    """Python's own hash() is not; these were found once and must never change."""
    sides = "".join(str(int(is_in_share(f"project {n}", 0.5))) for n in range(16))
    assert sides == "1101011100000001"
    inside = sum(is_in_share(f"project {n}", 0.25) for n in range(10_000))
    assert 0.23 <= inside / 10_000 <= 0.27


@pytest.mark.parametrize(
    ("by", "one", "same", "different"),
    [
        ("project", replace(HELLO, project="a"), {"text": "X"}, {"project": ""}),
        ("project", HELLO, {"text": "X"}, {"speaker": "Mia"}),
        ("speaker", HELLO, {"speaker": "RYAN", "project": "a"}, {"speaker": "x"}),
        ("speaker", HELLO, {"text": "X"}, {"checkpoint": "/models/mia"}),
        ("speaker", CLONE, {"text": "X"}, {"reference": OTHER_VOICE}),
        ("speaker", TRAINING, {"output_dir": "/b"}, {"speaker_name": "x"}),
        ("request", HELLO, {"project": "b"}, {"text": "X"}),
        ("request", HELLO, {"job_id": str(UUID(int=1))}, {"sampling": Sampling(seed=1)}),
        ("request", CLONE, {}, {"reference": OTHER_VOICE}),
    ],
)
def test_what_is_kept_on_one_side(by, one, same, different):
    assert routing_key(one, by) == routing_key(replace(one, **same), by)
    assert routing_key(one, by) != routing_key(replace(one, **different), by)


@pytest.fixture
def sides(scripted, ports, heard):
    def make(share):
        new, old = scripted("comfyui"), scripted("direct")
        names = {"new_name": "comfyui", "old_name": "direct"}
        how = {"share": share, "by": "request", "tell": heard.append}
        both = {"new": Dispatcher(new, "comfyui"), "old": Dispatcher(old, "direct")}
        return ports(Rollout(**both, **names, **how)), new, old

    return make


async def test_each_side_gets_its_share_and_that_is_told(sides, heard):
    layer, new, old = sides(0.25)
    for n in range(400):
        speech = await layer.synthesize(replace(HELLO, text=f"Line {n}."))
        assert speech.backend == heard[-1].backend
    assert len(new.calls) + len(old.calls) == 400
    assert 0.18 <= len(new.calls) / 400 <= 0.32
    assert heard[0] == Routed("synthesize", heard[0].backend, 0.25)
    assert (await layer.status()).details["rollout"] == "0.25 to comfyui, the rest to direct"
    await layer.aclose()
    assert (new.closed, old.closed) == (1, 1)


@pytest.mark.parametrize(("share", "backend"), [(0, "direct"), (1, "comfyui")])
async def test_the_ends_are_all_or_nothing(sides, share, backend):
    layer, _, _ = sides(share)
    assert (await layer.synthesize(HELLO)).backend == backend
    assert (await layer.clone(CLONE)).backend == backend
    assert (await layer.train(TRAINING)).backend == backend
    assert [speaker.name for speaker in await layer.speakers()] == [backend]


async def test_what_one_side_cannot_do_goes_to_the_other(sides):
    layer, new, old = sides(1)
    new.capabilities = replace(new.capabilities, streaming=False, instruct=True)
    assert layer.capabilities == Capabilities(
        speech=True, cloning=True, training=True, checkpoints=True, seeds=True, streaming=True
    )
    chunks = [chunk async for chunk in layer.synthesize_stream(HELLO)]
    assert len(chunks) == 3
    assert (len(new.calls), len(old.calls)) == (0, 1)
