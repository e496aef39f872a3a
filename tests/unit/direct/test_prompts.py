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
    without = dataclasses.replace(REFERENCE, transcript=None)
    assert key(x_vector_only=True) == key(without, x_vector_only=True)


def test_what_was_prepared_is_kept_within_the_limit():
    cache, prepared = PromptCache(100), []

    def get(model, size=50):
        return cache.get(key(model=model), lambda: (prepared.append(model) or f"for {model}", size))

    assert [get(model) for model in "abac"] == ["for a", "for b", "for a", "for c"]
    assert prepared == ["a", "b", "c"]
    assert cache.size == 100
    get("huge", 101)  # larger than the limit: not kept
    for model in "acb":
        get(model)  # b was used least recently
    assert prepared == ["a", "b", "c", "huge", "b"]
    assert cache.size == 100


def test_what_was_prepared_from_a_recording_is_forgotten():
    cache = PromptCache(100)
    other = key(dataclasses.replace(tone_reference(221.0), transcript="Oh, a tone."))
    for one in (key(), key(x_vector_only=True), other):
        cache.get(one, lambda: ("prepared", 10))
    cache.forget(REFERENCE.sha256)
    assert cache.size == 10
    assert cache.get(other, lambda: ("again", 10)) == "prepared"
    assert cache.get(key(), lambda: ("again", 10)) == "again"
