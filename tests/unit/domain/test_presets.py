"""Presets by name: what they stand for, and what is said of a name that is none."""

import pytest

from storycore_tts.domain.presets import (
    CLONE_PRESETS,
    DIRECTIONS,
    EMOTIONS,
    STYLES,
    TRAINING_PRESETS,
    clone_preset,
    manner,
    style_instruct,
    training_preset,
)
from storycore_tts.domain.requests import SpeechRequest, TrainingRequest
from storycore_tts.errors import InvalidRequest


def test_the_styles_are_those_that_the_engine_offers_and_each_is_an_instruct():
    assert set(STYLES) == {
        "warm_friendly", "professional", "excited", "calm", "dramatic", "storytelling",
        "news_anchor",
    }  # fmt: skip
    assert len({style_instruct(name) for name in STYLES}) == len(STYLES)
    for name in STYLES:
        assert SpeechRequest("Hello.", "Ryan", instruct=style_instruct(name)).instruct
    with pytest.raises(TypeError):
        STYLES["calm"] = "loud"


def test_the_clone_presets():
    said = {name: (one.model_choice, one.x_vector_only) for name, one in CLONE_PRESETS.items()}
    assert said == {"fast": ("0.6B", True), "balanced": ("0.6B", False), "quality": ("1.7B", False)}


def test_the_training_presets_go_over_what_is_usual():
    said = {
        name: (one.model_choice, one.num_epochs, one.learning_rate)
        for name, one in TRAINING_PRESETS.items()
    }
    assert said == {
        "quick": ("0.6B", 5, 3e-5),
        "standard": ("1.7B", 10, 2e-5),
        "quality": ("1.7B", 20, 1e-5),
        "low_vram": ("0.6B", 10, 2e-5),
    }
    terms = training_preset("quick").over({"num_epochs": 9, "batch_size": 2})
    request = TrainingRequest("/data", "/out", "mia", **terms)
    assert (request.model_choice, request.num_epochs, request.batch_size) == ("0.6B", 5, 2)


@pytest.mark.parametrize("find", [style_instruct, clone_preset, training_preset])
def test_a_name_that_is_none_is_refused_with_the_list_and_a_guess(find):
    for name in ("", "nothing", None, [], "QUALITY!"):
        with pytest.raises(InvalidRequest, match="Use one of"):
            find(name)
    with pytest.raises(InvalidRequest, match="Did you mean 'balanced'"):
        clone_preset("balansed")


@pytest.mark.parametrize("name", [*STYLES, *EMOTIONS, *DIRECTIONS])
def test_styles_emotions_and_directions_are_taken_in_any_case(name):
    said = manner(name)
    assert said == manner(name.upper()) == manner(f" {name.title().replace('_', ' ')} ")
    assert (said == "") == (name == "neutral")
    assert said != name


def test_manners_are_joined_and_other_words_go_on_as_they_are():
    assert manner("like a pirate") == "like a pirate"
    assert manner("gravelly", None, "", "Neutral", "whispers") == "gravelly. Whispering."
    assert manner("neutral", "over the noise") == "over the noise"
    assert manner() == ""
