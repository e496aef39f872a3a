"""The commands on the direct backend: tiny models, the real qwen_tts."""

import json

import numpy as np
import pytest
import soundfile
import yaml

from storycore_tts.testing.contract import tone_dataset

# What the packages warn of while they are imported is not our matter.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def direct(tiny_places, tmp_path, cli):
    """Runs a command on the direct backend."""

    def run(command, *arguments, models=tiny_places):
        settings = {"device": "cpu", "precision": "fp32", "direct": {"models": models}}
        file = tmp_path / "direct.yaml"
        file.write_text(yaml.safe_dump({"tts": {"qwen": {"backend": "direct", **settings}}}))
        return cli(command, *arguments, "--config", file)

    return run


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


def test_a_model_that_is_not_there_is_named(direct, tmp_path):
    missing = str(tmp_path / "nowhere")
    answer = direct("say", "Hello", models={"1.7B-CustomVoice": missing})
    assert answer.status == 3
    assert missing in answer.err


def test_train_and_speak_with_the_voice(direct, tmp_path):
    recordings = tone_dataset(tmp_path / "recordings", recordings=3)
    trained = direct(
        *("train", recordings, "--output-dir", tmp_path / "voices", "--speaker-name", "Hero"),
        *("--epochs", "1", "--gradient-accumulation", "1"),
    )
    assert trained.status == 0, trained.err
    voice = ("--checkpoint", trained.path, "--speaker", "HERO")
    spoken = direct("say", "Hello world", *voice, "--json")
    assert spoken.status == 0, spoken.err
    assert spoken.json["model"] == trained.path
