"""The commands on the direct backend: tiny models, the real qwen_tts."""

import json

import numpy as np
import pytest
import soundfile
import yaml

# What the packages warn of while they are imported is not our matter.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def direct(tiny_models, tmp_path, cli):
    """Runs a command on the direct backend."""
    places = {
        "1.7B-CustomVoice": str(tiny_models.path("custom_voice")),
        "1.7B-Base": str(tiny_models.path("base")),
    }
    qwen = {"backend": "direct", "device": "cpu", "precision": "fp32", "direct": {"models": places}}
    file = tmp_path / "direct.yaml"
    file.write_text(yaml.safe_dump({"tts": {"qwen": qwen}}), encoding="utf-8")
    return lambda command, *arguments: cli(command, *arguments, "--config", file)


def test_say_clone_and_speakers(direct, recording, tmp_path):
    said = direct("say", "Hello world", "--speaker", "vivian", "--seed", "7", "--json")
    assert said.status == 0, said.err
    assert said.json["backend"] == "direct"
    assert said.json["seed"] == 7
    samples, rate = soundfile.read(said.json["path"])
    assert rate == 24_000
    assert np.abs(samples).max() > 0.01

    cloned = direct("clone", recording, "Hello again", "--out", tmp_path / "clone.flac")
    assert cloned.status == 0, cloned.err
    assert "x-vector only" in cloned.err
    assert soundfile.info(cloned.path).duration > 0.2

    assert len(direct("speakers", "--json").json) == 9
    assert direct("say", "Hello", "--speaker", "Emily").status == 2


def test_doctor_finds_the_models(direct):
    found = direct("doctor", "--json")
    assert found.status == 0, found.err
    assert found.json["usable"]
    assert "on this machine" in json.dumps(found.json)


def test_a_model_that_is_not_there_is_named(direct, cli, tmp_path):
    missing = tmp_path / "nowhere"
    file = tmp_path / "wrong.yaml"
    qwen = {"backend": "direct", "direct": {"models": {"1.7B-CustomVoice": str(missing)}}}
    file.write_text(yaml.safe_dump({"tts": {"qwen": qwen}}), encoding="utf-8")
    answer = cli("say", "Hello", "--config", file)
    assert answer.status == 3
    assert str(missing) in answer.err


def test_train_and_speak_with_the_voice(direct, tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for number in range(3):
        tone = 0.3 * np.sin(np.arange(30_000) * 2 * np.pi * (200 + 30 * number) / 24_000)
        soundfile.write(recordings / f"{number}.wav", tone, 24_000)
        (recordings / f"{number}.txt").write_text(f"Recording {number}.", encoding="utf-8")
    trained = direct(
        *("train", recordings, "--output-dir", tmp_path / "voices", "--speaker-name", "Hero"),
        *("--epochs", "1", "--gradient-accumulation", "1"),
    )
    assert trained.status == 0, trained.err
    spoken = direct(
        "say", "Hello world", "--checkpoint", trained.path, "--speaker", "HERO", "--json"
    )
    assert spoken.status == 0, spoken.err
    assert spoken.json["model"] == trained.path
