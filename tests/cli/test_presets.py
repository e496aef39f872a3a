"""``say --style``, ``clone --preset``, ``train --preset`` and ``train --estimate``."""

import pytest

from storycore_tts.domain.presets import STYLES

SPEAK, CLONE, TRAIN = "FB_Qwen3TTSCustomVoice", "FB_Qwen3TTSVoiceClone", "FB_Qwen3TTSTrain"
TERMS = ("--output-dir", "out", "--speaker-name", "m")
LINE = "These are words that the recording never said."


@pytest.fixture(autouse=True)
def _measurements_of_this_test_only(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))


def test_a_style_is_an_instruct(there, inputs_of):
    assert there("say", LINE, "--style", "news_anchor").status == 0
    assert inputs_of(SPEAK)["instruct"] == STYLES["news_anchor"]


@pytest.mark.parametrize(
    ("preset", "size", "only"), [("fast", "0.6B", True), ("quality", "1.7B", False)]
)
def test_a_clone_preset_uses_its_model(there, spoken, inputs_of, preset, size, only):
    audio, words = spoken
    answer = there("clone", audio, LINE, "--ref-text", words, "--preset", preset)
    assert answer.status == 0, answer.err
    sent = inputs_of(CLONE)
    assert (sent["model_choice"], sent["x_vector_only"]) == (size, only)


def test_names_that_are_none_and_contradictions_are_refused(there, spoken):
    for arguments, said in [
        (["say", LINE, "--style", "calmly"], "Did you mean 'calm'"),
        (["say", LINE, "--style", "calm", "--instruct", "loud"], "not both"),
        (
            ["clone", spoken[0], LINE, "--preset", "fast", "--model-choice", "1.7B"],
            "the 0.6B model",
        ),
    ]:
        answer = there(*arguments)
        assert answer.status == 2
        assert said in answer.err


def test_a_training_preset_and_what_is_said_besides(there, dataset, inputs_of, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_MODEL_CHOICE", "0.6B")
    answer = there("train", dataset, *TERMS, "--preset", "quality", "--epochs", 2)
    assert answer.status == 0, answer.err
    model = "Qwen/Qwen3-TTS-12Hz-1.7B-Base"
    wanted = {"init_model": model, "learning_rate": 1e-5, "num_epochs": 2}
    assert wanted.items() <= inputs_of(TRAIN).items()


def test_an_estimate_trains_nothing_and_guesses_nothing(there, dataset):
    terms = ("train", dataset, *TERMS)
    unknown = there(*terms, "--preset", "standard", "--estimate", "--json").json
    assert (unknown["steps"], unknown["seconds"]) == (40, None)
    assert "cannot be estimated" in there(*terms, "--estimate").out
    assert there(*terms, "--epochs", 2).status == 0
    known = there(*terms, "--preset", "standard", "--estimate", "--json").json
    assert known["measured_steps"] == 7
    assert known["seconds"] > 0
    assert not (dataset.parent / "out" / "checkpoint-epoch-9").exists()


def test_an_estimate_for_a_folder_that_is_elsewhere_says_so(there):
    answer = there("train", "voices/mara", *TERMS, "--estimate")
    assert answer.status == 2
    assert "on this machine" in answer.err
