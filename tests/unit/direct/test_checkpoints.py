import json
import os
import subprocess
import sys
import time

import pytest

from storycore_tts import (
    BackendUnavailable,
    ConfigurationError,
    InvalidRequest,
    QwenTTSConfig,
    UnsupportedLanguage,
)
from storycore_tts.adapters.direct.checkpoints import Checkpoint, configured, fetched, read_card


@pytest.fixture
def folder(tmp_path):
    def write(**changes):
        config = {
            "tts_model_type": "custom_voice",
            "tts_model_size": "1b7",
            "talker_config": {
                "spk_id": {"ryan": 3061, "ono_anna": 2873},
                "codec_language_id": {"english": 2050, "sichuan_dialect": 2062},
            },
        }
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
        return tmp_path

    return write


def test_checkpoints_are_the_published_ones_or_those_in_the_settings():
    config = QwenTTSConfig(model_choice="0.6B", direct={"models": {"0.6B-Base": "/models/mine"}})
    assert configured(config, "base").name == "/models/mine"
    custom = configured(config, "custom_voice")
    assert (custom.name, custom.folder) == ("Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice", None)


def test_a_card_says_what_the_checkpoint_speaks(folder):
    card = read_card(Checkpoint(str(folder()), "custom_voice"))
    assert card.speakers == ("ryan", "ono_anna")
    assert card.languages == ("english",)
    assert card.hears_instruct
    card.check_language("Auto")
    card.check_language("English")
    with pytest.raises(UnsupportedLanguage, match=r"not support German.*Auto, English"):
        card.check_language("German")
    small = Checkpoint(str(folder(tts_model_size="0b6")), "custom_voice")
    assert not read_card(small).hears_instruct


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tts_model_type": "base"}, "a 'custom_voice' checkpoint is"),
        ({"talker_config": None}, "does not describe a Qwen3-TTS checkpoint"),
        ({"talker_config": {}}, "does not describe a Qwen3-TTS checkpoint"),
    ],
)
def test_another_model_is_refused(folder, changes, told):
    with pytest.raises(InvalidRequest, match=told):
        read_card(Checkpoint(str(folder(**changes)), "custom_voice"))


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("/nothing/there", BackendUnavailable, r"there.*tts\.qwen\.direct\.models"),
        # refused to everybody; one without permission is not, to root
        ("/" + "x" * 300, BackendUnavailable, "Cannot look for a checkpoint in /xxx"),
        ("~nobody-of-that-name/voices", InvalidRequest, "no such home"),
    ],
)
def test_a_folder_that_cannot_be_read_is_named(name, error, told):
    with pytest.raises(error, match=told):
        read_card(Checkpoint(name, "base"))


def test_missing_weights_are_named(folder):
    with pytest.raises(BackendUnavailable, match=r"no model\.safetensors and no speech_tokenizer"):
        fetched(Checkpoint(str(folder()), "custom_voice"))


@pytest.mark.parametrize(
    "network", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}]
)
def test_without_a_network_it_says_at_once_what_to_download(tmp_path, network):
    pytest.importorskip("huggingface_hub", reason="needs pip install 'storycore-tts[direct]'")
    script = (
        "import time\n"
        "from storycore_tts import BackendUnavailable, QwenTTSConfig\n"
        "from storycore_tts.adapters.direct.checkpoints import configured, fetched, read_card\n"
        "import huggingface_hub\n"
        "for call in (read_card, fetched):\n"
        "    try:\n"
        "        call(configured(QwenTTSConfig(), 'base'))\n"
        "    except BackendUnavailable as error:\n"
        "        print(error)\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), **network}
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert time.monotonic() - began < 20
    assert told.count("Qwen/Qwen3-TTS-12Hz-1.7B-Base is not on this machine") == 2
    assert "tts.qwen.direct.models" in told


@pytest.mark.parametrize(
    ("models", "told"),
    [({"2B": "x"}, "1.7B-CustomVoice"), ({"1.7B-Base": ""}, "at least 1 character")],
)
def test_a_model_that_does_not_exist_is_refused_with_those_that_do(models, told):
    with pytest.raises(ConfigurationError, match=told):
        QwenTTSConfig(direct={"models": models})
