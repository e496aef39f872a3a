"""Parameters that an adapter does not take are named in its results."""

from dataclasses import replace

import pytest

from storycore_tts.domain.requests import CloneRequest, SpeechRequest, TrainingRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.pipeline.calls import Dispatcher
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.testing.contract import tone_reference

from .conftest import Scripted

COOL = Sampling(temperature=0.5, top_k=7, seed=3)
WARNING = "robot ignores top_k, temperature: it has no such parameter"


def ports(adapter):
    return TextToSpeech(Dispatcher(adapter, adapter.name), name=adapter.name, defaults=Defaults())


@pytest.fixture
def adapter():
    """An adapter that takes one parameter of sampling and one of training."""
    robot = Scripted("robot")
    taken = frozenset({"top_p", "num_epochs"})
    robot.capabilities = replace(robot.capabilities, parameters=taken)
    return ports(robot)


async def test_what_a_line_sets_in_vain_is_named_however_it_is_spoken(adapter):
    line = SpeechRequest("Hi.", "Ryan", sampling=COOL)
    clone = CloneRequest(
        "Hi.", tone_reference(220.0), x_vector_only=True, sampling=COOL, consent="Me"
    )
    chunks = [chunk async for chunk in adapter.synthesize_stream(line)]
    for made in (await adapter.synthesize(line), await adapter.clone(clone), *chunks):
        assert made.warnings == (WARNING,)


async def test_what_a_training_sets_in_vain_is_named(adapter):
    voice = await adapter.train(TrainingRequest("/data", "/out", "mia", batch_size=2, num_epochs=3))
    assert voice.warnings == ("robot ignores batch_size: it has no such parameter",)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(seed=3), Sampling(top_p=0.5)], ids=["none", "seed", "taken"]
)
async def test_defaults_seeds_and_what_it_takes_are_not(adapter, sampling):
    assert (
        await adapter.synthesize(SpeechRequest("Hi.", "Ryan", sampling=sampling))
    ).warnings == ()
    assert [speaker.name for speaker in await adapter.speakers()] == ["robot"]


async def test_an_adapter_that_declares_nothing_is_not_spoken_for():
    silent = ports(Scripted("silent"))
    assert (await silent.synthesize(SpeechRequest("Hi.", "Ryan", sampling=COOL))).warnings == ()
