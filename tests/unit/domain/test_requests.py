"""Requests check themselves when they are made."""

import copy
from dataclasses import FrozenInstanceError
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.text import reading_seconds
from storycore_tts.errors import (
    InvalidReferenceAudio,
    InvalidRequest,
    UnsupportedLanguage,
)


@pytest.fixture
def reference(tone):
    return ReferenceAudio(tone(4.0), transcript="Once upon a time there was a voice.")


@pytest.fixture
def make(reference):
    """Makes a request of each kind by the name of the kind."""
    wanted = {
        "speech": (SpeechRequest, {"text": "Hello.", "speaker": "Ryan"}),
        "clone": (CloneRequest, {"text": "Hello.", "reference": reference}),
        "training": (
            TrainingRequest,
            {"dataset": "/data/mia", "output_dir": "/data/out", "speaker_name": "mia"},
        ),
    }

    def make(kind, **values):
        request, defaults = wanted[kind]
        return request(**{**defaults, **values})

    return make


def test_a_speech_request_is_stored_in_the_models_spelling(make):
    request = make(
        "speech",
        text=" Hello\x00there. ",
        speaker=" uncle fu ",
        language="de-DE",
        instruct=" Calm. ",
    )
    assert request.text == "Hello there."
    assert (request.speaker, request.language) == ("uncle fu", "German")
    assert (request.instruct, request.checkpoint) == ("Calm.", None)
    assert request.sampling == Sampling()


@pytest.mark.parametrize("kind", ["speech", "clone", "training"])
def test_a_request_cannot_be_changed_and_refuses_an_unknown_language(kind, make):
    with pytest.raises(FrozenInstanceError):
        make(kind).language = "Klingon"
    with pytest.raises(UnsupportedLanguage, match="Did you mean 'French'"):
        make(kind, language="Frensh")


@pytest.mark.parametrize("kind", ["speech", "clone"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("?!", "nothing to speak"),
        (None, "must be a string, not NoneType"),
        ("word " * 20_000, "too long for one generation"),
    ],
)
def test_text_that_cannot_be_spoken_is_refused(kind, text, said, make):
    with pytest.raises(InvalidRequest, match=said):
        make(kind, text=text)


@pytest.mark.parametrize("kind", ["speech", "clone"])
def test_the_limit_on_tokens_is_the_requests_own(kind, make):
    text = "word " * 100
    assert make(kind, text=text, sampling=Sampling(max_new_tokens=2048)).token_budget == 1792
    assert make(kind, text=text, sampling=Sampling(max_new_tokens=600)).token_budget == 600
    with pytest.raises(InvalidRequest, match="max_new_tokens=100"):
        make(kind, text=text, sampling=Sampling(max_new_tokens=100))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("speech", "speaker"),
        ("speech", "checkpoint"),
        ("clone", "checkpoint"),
        ("training", "dataset"),
        ("training", "output_dir"),
        ("training", "speaker_name"),
        ("training", "model_choice"),
    ],
)
def test_names_and_folders_are_one_line_of_text_or_a_path(kind, name, make):
    for path in (Path("/models/mia"), PureWindowsPath(r"C:\models\mia")):
        assert getattr(make(kind, **{name: path}), name) == str(path)
    for value, said in (
        ("", "is empty"),
        (" \n", "is empty"),
        ("a\x00b", "control character"),
        ("a\nb", "control character"),
        ("\udcff", "lone surrogate"),
        (5, "must be a string, not int"),
        (b"a", "must be a string, not bytes"),
        *([] if name == "checkpoint" else [(None, "must be a string, not NoneType")]),
    ):
        with pytest.raises(InvalidRequest, match=f"{name} .*{said}") as caught:
            make(kind, **{name: value})
        str(caught.value).encode()


def test_words_around_the_text_need_a_letter_too(make, tone):
    assert make("speech", instruct="").instruct == ""
    with pytest.raises(InvalidRequest, match="The instruct contains nothing"):
        make("speech", instruct="...")
    with pytest.raises(InvalidRequest, match="The transcript contains nothing"):
        ReferenceAudio(tone(), transcript="...")
    with pytest.raises(InvalidRequest, match="The test_text contains nothing"):
        make("training", test_text="")


@settings(max_examples=40)
@given(st.text())
def test_any_text_makes_a_request_or_a_refusal(text):
    for values in ({"text": text, "speaker": "Ryan"}, {"text": "Hi.", "speaker": text}):
        try:
            request = SpeechRequest(**values, instruct=values["text"], checkpoint=values["speaker"])
        except InvalidRequest:
            continue
        for sent in (request.text, request.speaker, request.instruct, request.checkpoint):
            assert sent.strip() == sent != ""
            sent.encode()


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(0, False), (0.49, False), (0.5, True), (600, True), (600.1, False)]
)
def test_a_reference_lasts_half_a_second_to_ten_minutes(seconds, accepted, tone):
    samples = tone(seconds, rate=4000)
    if accepted:
        assert ReferenceAudio(samples, 4000).duration == seconds
    else:
        with pytest.raises(InvalidReferenceAudio, match=f"is {seconds:.2f} s long") as caught:
            ReferenceAudio(samples, 4000)
        assert "3 to 15 s work best" in caught.value.hint


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.ones((24_000, 2)), r"must have the shape \(n,\)"),
        (np.ones((24_000, 1)), r"must have the shape \(n,\)"),
        (np.ones((1, 1, 24_000)), r"must have the shape \(n,\)"),
        ("reference.wav", r"not an array of numbers.*from_file"),
        (["a"] * 24_000, "not an array of numbers"),
        ([[0.5], [0.5, 0.5]], "not an array of numbers"),
        ([None, "x"], "not an array of numbers"),
        (object(), "not an array of numbers"),
        (np.array([0.5] * 24_000 + [np.nan]), "not finite"),
        (np.array([0.5] * 24_000 + [-np.inf]), "not finite"),
        (np.array([0.5] * 24_000 + [1e300]), "not finite"),
        (np.zeros(24_000), "silent"),
        (np.full(24_000, 0.003), "silent"),
    ],
)
def test_samples_that_are_no_voice_are_refused(samples, said):
    with pytest.raises(InvalidReferenceAudio, match=said):
        ReferenceAudio(samples)


@pytest.mark.parametrize("rate", [0, -1, 3999, 384_001, 24_000.0, float("nan"), "24000", None])
def test_an_impossible_sample_rate_is_refused(rate, tone):
    with pytest.raises(InvalidReferenceAudio, match=r"sample rate must be .* 4000 to 384000 Hz"):
        ReferenceAudio(tone(), rate)
    assert ReferenceAudio(tone(), np.int64(24_000)).duration == 1.0


def test_samples_are_stored_as_float32(tone):
    for samples in (tone(), tone().astype(np.float64), tone().astype(np.float16), tone().tolist()):
        stored = ReferenceAudio(samples).samples
        assert (stored.dtype, stored.shape) == (np.float32, (24_000,))


@pytest.mark.parametrize(
    ("given", "kept"), [(None, None), ("", None), (" \n", None), (" A. ", "A.")]
)
def test_an_empty_transcript_is_none(given, kept, tone):
    assert ReferenceAudio(tone(), transcript=given).transcript == kept


def test_references_can_be_compared_and_be_keys(reference, tone, make):
    other = ReferenceAudio(tone(4.0), transcript=reference.transcript)
    assert reference != other
    assert len({reference, other, reference}) == 2
    assert make("clone") == copy.copy(make("clone"))
    assert len({make("clone"), make("clone")}) == 1


def test_a_file_is_read_by_its_path(tmp_path, audio_file):
    path = tmp_path / "voice.flac"
    path.write_bytes(audio_file("FLAC"))
    for spelling in (path, str(path)):
        reference = ReferenceAudio.from_file(spelling, transcript="Ah.")
        assert (reference.duration, reference.transcript) == (1.0, "Ah.")


def test_a_file_that_cannot_be_opened_or_is_no_audio_is_refused_by_name(tmp_path):
    for name in ("missing.wav", ".", "a\x00b.wav", "x" * 300 + ".wav"):
        with pytest.raises(InvalidReferenceAudio, match="Cannot open the reference"):
            ReferenceAudio.from_file(f"{tmp_path}/{name}")
    (tmp_path / "notes.wav").write_text("Not a sound.")
    with pytest.raises(InvalidReferenceAudio, match=r"Cannot read .*notes\.wav"):
        ReferenceAudio.from_file(tmp_path / "notes.wav")


def test_cloning_needs_a_transcript_or_the_timbre_alone(tone):
    bare = ReferenceAudio(tone(4.0))
    with pytest.raises(InvalidRequest, match="what is said in the reference") as caught:
        CloneRequest("Hello.", bare)
    assert "x_vector_only" in caught.value.hint
    (warning,) = CloneRequest("Hello.", bare, x_vector_only=True).warnings()
    assert "x-vector only" in warning


@pytest.mark.parametrize(
    ("seconds", "letters", "warned"),
    [
        (5.0, 75, []),
        (2.9, 44, ["2.9 s long"]),
        (15.1, 226, ["15.1 s long"]),
        (3.0, 45, []),
        (15.0, 225, []),
        (8.0, 75, ["missing"]),
        (8.0, 81, []),
        (8.0, 300, []),
        (8.0, 302, ["other words"]),
        (20.0, 75, ["20.0 s long", "missing"]),
        (1.0, 75, ["1.0 s long", "other words"]),
    ],
)
def test_what_spoils_a_clone_is_said(seconds, letters, warned, tone):
    reference = ReferenceAudio(tone(seconds, 8000), 8000, transcript="a" * letters)
    assert reading_seconds(reference.transcript) == pytest.approx(letters / 15)
    warnings = reference.warnings()
    assert all(part in warning for part, warning in zip(warned, warnings, strict=True))
    assert CloneRequest("Hello.", reference).warnings() == warnings


def test_only_speech_must_be_covered_by_a_transcript_and_digits_take_their_time(tone):
    silence = np.zeros(8000 * 3, np.float32)
    samples = np.concatenate([silence, tone(4, 8000), silence, tone(4, 8000), silence])
    for transcript in ("a" * 90, "In 1939 and 1945, 1,250,000 of them."):
        found = ReferenceAudio(samples, 8000, transcript=transcript).warnings()
        assert not any("missing" in warning for warning in found)
    found = ReferenceAudio(samples, 8000, transcript="a" * 70).warnings()
    assert "8.0 s of speech" in found[-1]


def test_a_clipped_reference_warns(tone):
    loud = np.clip(4 * tone(5, 8000), -1, 1)
    (warning,) = ReferenceAudio(loud, 8000, transcript="a" * 75).warnings()
    assert "clipped" in warning


@pytest.mark.parametrize(
    ("name", "low", "high", "outside"),
    [
        ("learning_rate", 1e-7, 1e-3, (1e-8, 1e-2)),
        ("num_epochs", 1, 100, (0, 101, 2.0)),
        ("batch_size", 1, 8, (0, 9, 2.0)),
        ("gradient_accumulation_steps", 1, 64, (0, 65, 2.0)),
        ("validate_every", 1, 10, (0, 11, 2.0)),
    ],
)
def test_training_numbers_keep_to_the_nodes_ranges(name, low, high, outside, make):
    assert getattr(make("training", **{name: low}), name) == low
    assert getattr(make("training", **{name: high}), name) == high
    for wrong in (*outside, True, None, "1", float("nan")):
        with pytest.raises(InvalidRequest, match=name):
            make("training", **{name: wrong})
