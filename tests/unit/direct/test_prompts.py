import dataclasses

from storycore_tts.adapters.direct.prompts import PromptCache, PromptKey
from storycore_tts.testing.contract import tone_reference

REFERENCE = dataclasses.replace(tone_reference(220.0), transcript="Oh, a tone.")


def key(reference=REFERENCE, model="m", *, x_vector_only=False):
    return PromptKey.of(model, reference, x_vector_only=x_vector_only)


def test_a_key_is_audio_transcript_mode_and_model():
    assert key() == key(dataclasses.replace(REFERENCE, samples=REFERENCE.samples.copy()))
    others = [
        key(dataclasses.replace(tone_reference(221.0), transcript="Oh, a tone.")),
        key(dataclasses.replace(REFERENCE, transcript="Oh, a tune.")),
        key(dataclasses.replace(REFERENCE, sample_rate=22_050)),
        key(model="n"),
        key(x_vector_only=True),
    ]
    assert len({key(), *others}) == 6


def test_the_timbre_does_not_depend_on_the_transcript():
    without = dataclasses.replace(REFERENCE, transcript=None)
    assert key(x_vector_only=True) == key(without, x_vector_only=True)


def test_what_was_prepared_once_is_kept():
    cache, prepared = PromptCache(100), []
    for _ in range(2):
        assert cache.get(key(), lambda: (prepared.append(1) or "prompt", 60)) == "prompt"
    assert prepared == [1]
    assert cache.size == 60


def test_it_never_holds_more_than_its_limit():
    cache = PromptCache(100)
    for model in ("a", "b", "a", "c"):
        cache.get(key(model=model), lambda: ("prompt", 50))
    assert cache.size == 100
    prepared = []
    for model in ("a", "c", "b"):
        cache.get(key(model=model), lambda model=model: (prepared.append(model), 50))
    assert prepared == ["b"]


def test_what_is_larger_than_the_limit_is_not_kept():
    cache = PromptCache(100)
    cache.get(key(), lambda: ("prompt", 60))
    cache.get(key(model="huge"), lambda: ("prompt", 101))
    assert cache.size == 60
