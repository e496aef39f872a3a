"""``storycore-tts train``."""

TRAIN = "FB_Qwen3TTSTrain"
TERMS = ("--output-dir", "voices", "--speaker-name", "mara")


def test_the_checkpoint_can_speak_afterwards(there, dataset, tmp_path):
    answer = there("train", dataset, *TERMS, "--epochs", 2)
    checkpoint = answer.path
    assert checkpoint == str(tmp_path / "voices" / "checkpoint-epoch-1")
    assert "training: epoch 1, loss 10.000" in answer.err
    assert "training: epoch 2, loss " in answer.err
    assert answer.err.splitlines()[-1].startswith("mara: 2 epochs, loss ")
    spoken = there("say", "Hello.", "--checkpoint", checkpoint, "-s", "mara", "--json")
    assert spoken.json["model"] == checkpoint


def test_an_empty_folder_is_not_the_one_at_hand(there):
    for folder, voices in (("", "voices"), (".", "")):
        answer = there("train", folder, "--output-dir", voices, "--speaker-name", "m")
        assert answer.status == 2
        assert "is empty" in answer.err


def test_json_and_options(there, dataset, inputs_of, tmp_path):
    told = there(
        "train", "dataset", *TERMS, "--json", "--epochs", 3, "--learning-rate", 1e-5,
        "--batch-size", 2, "--gradient-accumulation", 1, "--validate-every", 3,
        "--language", "Chinese", "--test-text", "Good evening.",
    ).json  # fmt: skip
    assert (told["speaker_name"], told["epochs"]) == ("mara", 3)
    assert (told["backend"], told["warnings"]) == ("comfyui", [])
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


def test_defaults_come_from_the_settings(there, dataset, inputs_of, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_TRAINING__NUM_EPOCHS", "1")
    answer = there("train", dataset, *TERMS, "-q")
    assert (answer.status, answer.err) == (0, "")
    assert inputs_of(TRAIN)["num_epochs"] == 1


def test_a_folder_of_the_server_is_passed_on_as_it_is(there, inputs_of):
    answer = there("train", "voices/mara", *TERMS, "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "InvalidDataset")
    assert inputs_of(TRAIN)["audio_folder"] == "voices/mara"
