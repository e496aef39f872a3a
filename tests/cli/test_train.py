"""``storycore-tts train``."""

import shutil

import pytest

TRAIN = "FB_Qwen3TTSTrain"


@pytest.fixture
def dataset(tmp_path, spoken):
    folder = tmp_path / "dataset"
    folder.mkdir()
    audio, words = spoken
    for number in range(4):
        shutil.copy(audio, folder / f"{number}.wav")
        (folder / f"{number}.txt").write_text(words)
    return folder


def test_the_checkpoint_can_speak_afterwards(cli, dataset, tmp_path, server):
    answer = cli(
        "train", dataset, "--output-dir", tmp_path / "voices", "--speaker-name", "mara",
        "--epochs", 2, "--url", server.url,
    )  # fmt: skip
    checkpoint = answer.path
    assert checkpoint == str(tmp_path / "voices" / "checkpoint-epoch-1")
    assert "training: epoch 1, loss 10.000" in answer.err
    assert "training: epoch 2, loss " in answer.err
    assert answer.err.splitlines()[-1].startswith("mara: 2 epochs, loss ")
    spoken = cli(
        "say", "Hello.", "--checkpoint", checkpoint, "-s", "mara", "--url", server.url, "--json"
    )
    assert spoken.json["model"] == checkpoint


def test_an_empty_folder_is_not_the_one_at_hand(cli, server):
    for folder, voices in (("", "voices"), (".", "")):
        answer = cli(
            "train", folder, "--output-dir", voices, "--speaker-name", "m", "--url", server.url
        )
        assert answer.status == 2
        assert "is empty" in answer.err


def test_json_and_options(cli, dataset, server, inputs_of, tmp_path):
    told = cli(
        "train", "dataset", "--output-dir", "voices", "--speaker-name", "mara", "--json",
        "--epochs", 3, "--learning-rate", 1e-5, "--batch-size", 2, "--gradient-accumulation", 1,
        "--validate-every", 3, "--language", "Chinese", "--test-text", "Good evening.",
        "--url", server.url,
    ).json  # fmt: skip
    assert {k: told[k] for k in ("speaker_name", "epochs", "backend", "warnings")} == {
        "speaker_name": "mara", "epochs": 3, "backend": "comfyui", "warnings": [],
    }  # fmt: skip
    assert len(told["loss_history"]) == 3
    assert {
        "audio_folder": str(dataset),  # a server has another working folder than we
        "output_dir": str(tmp_path / "voices"),
        "num_epochs": 3,
        "learning_rate": 1e-5,
        "batch_size": 2,
        "gradient_accumulation_steps": 1,
        "validate_every": 3,
        "language": "Chinese",
        "test_text": "Good evening.",
    }.items() <= inputs_of(TRAIN).items()


def test_defaults_come_from_the_settings(cli, dataset, server, inputs_of, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_TRAINING__NUM_EPOCHS", "1")
    answer = cli(
        "train", dataset, "--output-dir", "out", "--speaker-name", "m", "--url", server.url, "-q"
    )
    assert (answer.status, answer.err) == (0, "")
    assert inputs_of(TRAIN)["num_epochs"] == 1


def test_a_folder_of_the_server_is_passed_on_as_it_is(cli, server, inputs_of):
    answer = cli(
        "train", "voices/mara", "--output-dir", "out", "--speaker-name", "m", "--url", server.url,
        "--json",
    )  # fmt: skip
    assert (answer.status, answer.json["error"]["type"]) == (2, "InvalidDataset")
    assert inputs_of(TRAIN)["audio_folder"] == "voices/mara"


def test_a_value_out_of_range_is_refused(cli):
    answer = cli("train", "x", "--output-dir", "y", "--speaker-name", "z", "--epochs", 101)
    assert answer.status == 2
    assert "num_epochs is 101; it must be a whole number from 1 to 100." in answer.err
