"""A stored voice checks itself, and turns lines into requests."""

import unicodedata
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.stored_voices import StoredVoice, name_key, voice_name
from storycore_tts.errors import InvalidRequest, UnsupportedLanguage

RECORDING = ReferenceAudio(np.ones(48_000, np.float32), transcript="Hello there.")
TIMBRE = ReferenceAudio(np.ones(48_000, np.float32))
SPEAKERS = ["Aiden", "Dylan", "Eric", "Ono_anna", "Ryan", "Serena", "Sohee", "Uncle_fu", "Vivian"]


def clone(**given):
    return StoredVoice(**{"name": "Mia", "consent": "Mia, today", "reference": RECORDING, **given})


def checkpoint(**given):
    return StoredVoice(**{"name": "Tom", "checkpoint": "/models/tom", **given})


def test_a_name_may_be_of_any_script():
    names = ("Mia", "Old Mia 2.0_b-c", "贞贞", "हिन्दी", "Ελένη", "x" * 64, "CON", "Ryan 2", "a.")
    for name in names:
        assert clone(name=name).name == name
    assert clone(name="  Mia \n").name == "Mia"
    assert clone(name="Zoe\u0308").name == "Zoë"


@pytest.mark.parametrize(
    "name",
    [
        "", " ", ".", "..", "-", "_._", "\u0301", "x" * 65, "a/b", "a\\b", "../x", "a:b", "a\x00b",
        "a\nb", "a\tb", "Mia!", "mia@home", "😀", "½", "\ud800", "a\u200db", "a\u00a0b", None, 5,
        b"Mia",
    ],
)  # fmt: skip
def test_other_names_are_refused(name):
    with pytest.raises(InvalidRequest, match=r"name (of|for) a voice"):
        clone(name=name)


@pytest.mark.parametrize("name", [*SPEAKERS, "ryan", " RYAN ", "uncle fu", "ONO ANNA", "ſohee"])
def test_the_built_in_voices_keep_their_names(name):
    with pytest.raises(InvalidRequest, match="built-in voice"):
        clone(name=name)


@settings(max_examples=40)
@given(st.text(max_size=80))
def test_any_text_is_a_name_or_is_refused(text):
    try:
        name = voice_name(text)
    except InvalidRequest:
        return
    assert 1 <= len(name) <= 64
    assert name == voice_name(name) == unicodedata.normalize("NFC", name) == name.strip()
    assert any(character.isalnum() for character in name)
    assert name_key(name) == name_key(name.casefold()) == name_key(f" {name} ")


@pytest.mark.parametrize(
    ("one", "other"),
    [("Mia", "MIA"), ("Old Mia", "old_mia"), ("Straße", "STRASSE"), ("É", "e\u0301"), ("Σς", "σΣ")],
)
def test_spellings_of_one_name(one, other):
    assert name_key(voice_name(one)) == name_key(voice_name(other))


def test_a_voice_is_one_thing_or_the_other():
    for both_or_none in ({}, {"reference": RECORDING, "checkpoint": "/models/mia"}):
        with pytest.raises(InvalidRequest, match="either a reference recording or a checkpoint"):
            StoredVoice("Mia", consent="Mia", **both_or_none)
    assert (clone().kind, checkpoint().kind) == ("clone", "checkpoint")


def test_a_checkpoint_needs_none_and_its_speaker_is_called_like_the_voice():
    assert checkpoint().speaker == "Tom"
    assert checkpoint(speaker=" tom_v2 ").speaker == "tom_v2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"consent": ""}, "consent"),
        ({"consent": "…"}, "consent"),
        ({"consent": "\ud800"}, "consent"),
        ({"consent": 5}, "consent"),
        ({"reference": "mia.wav"}, r"ReferenceAudio\.from_file"),
        # What it would not heed:
        ({"speaker": "mia"}, "takes no speaker"),
        ({"model_choice": "1.7B"}, "takes no model_choice"),
        ({"instruct": "Warm."}, "takes no instruct"),
    ],
)
def test_a_clone_without_consent_or_with_what_is_not_its_own_is_refused(given, said):
    with pytest.raises(InvalidRequest, match=said):
        clone(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"checkpoint": " "},
        {"checkpoint": "a\nb"},
        {"checkpoint": 5},
        {"speaker": ""},
        {"speaker": "a\x00"},
        {"model_choice": ""},
        {"instruct": "…"},
        {"consent": "…"},
        {"language": "tlh"},
        {"created": datetime(2025, 1, 1)},
        {"created": "2025-01-01"},
        {"created": datetime.min.replace(tzinfo=timezone(timedelta(hours=3)))},
    ],
)
def test_values_that_cannot_be_are_refused(given):
    with pytest.raises(InvalidRequest):
        checkpoint(**given)


def test_times_are_kept_in_utc():
    east = timezone(timedelta(hours=2))
    made = clone(created=datetime(2025, 3, 2, 1, 30, tzinfo=east)).created
    assert made.isoformat() == "2025-03-01T23:30:00+00:00"
    assert clone().created.tzinfo is timezone.utc
    assert abs(datetime.now(timezone.utc) - clone().created) < timedelta(minutes=1)


def test_a_line_of_a_recording_is_a_clone_and_without_words_one_of_its_timbre():
    request = clone(language="fr").request("Bonjour.", sampling=Sampling(seed=3), project="film")
    assert isinstance(request, CloneRequest)
    assert request.reference is RECORDING
    assert (request.text, request.language, request.project) == ("Bonjour.", "French", "film")
    assert (request.sampling.seed, request.x_vector_only) == (3, False)
    assert clone(reference=TIMBRE).x_vector_only
    assert clone(reference=TIMBRE).request("Hi.").x_vector_only
    with pytest.raises(InvalidRequest, match="takes no instruct"):
        clone().request("Hi.", instruct="Warm.")


def test_a_line_of_a_checkpoint_is_speech():
    voice = checkpoint(speaker="tom_v2", language="de", instruct="Slowly.")
    assert voice.request("Hallo.") == SpeechRequest(
        "Hallo.", "tom_v2", checkpoint="/models/tom", language="German", instruct="Slowly."
    )
    other = voice.request("Hi.", language="en", instruct="Fast.")
    assert (other.language, other.instruct) == ("English", "Fast.")


def test_an_empty_language_is_refused_and_never_replaced():
    for voice in (clone(language="fr"), checkpoint(language="fr")):
        with pytest.raises(UnsupportedLanguage):
            voice.request("Hi.", language="")
