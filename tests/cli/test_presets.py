"""``say --style``, ``clone --preset``, ``train --preset`` and ``train --estimate``."""

import shutil

import pytest

from storycore_tts.domain.presets import STYLES

SPEAK, CLONE, TRAIN = "FB_Qwen3TTSCustomVoice", "FB_Qwen3TTSVoiceClone", "FB_Qwen3TTSTrain"
LINE = "These are words that the recording never said."


@pytest.fixture
def dataset(tmp_path, spoken, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    folder = tmp_path / "dataset"
    folder.mkdir()
    audio, words = spoken
    for number in range(4):
        shutil.copy(audio, folder / f"{number}.wav")
        (folder / f"{number}.txt").write_text(words)
    return folder


def test_a_style_is_an_instruct(cli, server, inputs_of):
    assert cli("say", LINE, "--style", "news_anchor", "--url", server.url).status == 0
    assert inputs_of(SPEAK)["instruct"] == STYLES["news_anchor"]


def test_a_style_beside_an_instruct_or_one_that_is_none_is_refused(cli, server):
    answer = cli("say", LINE, "--style", "calm", "--instruct", "loud", "--url", server.url)
    assert (answer.status, "not both" in answer.err) == (2, True)
    answer = cli("say", LINE, "--style", "calmly", "--url", server.url)
    assert (answer.status, "Did you mean 'calm'" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("preset", "size", "only"), [("fast", "0.6B", True), ("quality", "1.7B", False)]
)
def test_a_clone_preset_uses_its_model(cli, spoken, server, inputs_of, preset, size, only):
    audio, words = spoken
    answer = cli("clone", audio, LINE, "--ref-text", words, "--preset", preset, "--url", server.url)
    assert answer.status == 0, answer.err
    sent = inputs_of(CLONE)
    assert (sent["model_choice"], sent["x_vector_only"]) == (size, only)


def test_a_preset_and_another_size_contradict_each_other(cli, spoken, server):
    answer = cli(
        "clone", spoken[0], LINE, "--preset", "fast", "--model-choice", "1.7B", "--url",
        server.url,
    )  # fmt: skip
    assert answer.status == 2
    assert "uses the 0.6B model" in answer.err


def test_a_training_preset_and_what_is_said_besides(cli, dataset, server, inputs_of, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_MODEL_CHOICE", "0.6B")
    answer = cli(
        "train", dataset, "--output-dir", "out", "--speaker-name", "m", "--preset", "quality",
        "--epochs", 2, "--url", server.url,
    )  # fmt: skip
    assert answer.status == 0, answer.err
    assert {
        "init_model": "Qwen/Qwen3-TTS-12Hz-1.7B-Base", "learning_rate": 1e-5, "num_epochs": 2,
    }.items() <= inputs_of(TRAIN).items()  # fmt: skip


def test_an_estimate_trains_nothing_and_guesses_nothing(cli, dataset, server):
    terms = ("train", dataset, "--output-dir", "out", "--speaker-name", "m", "--url", server.url)
    unknown = cli(*terms, "--preset", "standard", "--estimate", "--json").json
    assert (unknown["steps"], unknown["seconds"]) == (40, None)
    assert "nobody knows" in cli(*terms, "--estimate").out
    assert cli(*terms, "--epochs", 2).status == 0
    known = cli(*terms, "--preset", "standard", "--estimate", "--json").json
    assert known["measured_steps"] == 7
    assert known["seconds"] > 0
    assert not (dataset.parent / "out" / "checkpoint-epoch-9").exists()


def test_an_estimate_for_a_folder_that_is_elsewhere_says_so(cli, server):
    answer = cli(
        "train", "voices/mara", "--output-dir", "out", "--speaker-name", "m", "--estimate",
        "--url", server.url,
    )  # fmt: skip
    assert answer.status == 2
    assert "from this machine" in answer.err
