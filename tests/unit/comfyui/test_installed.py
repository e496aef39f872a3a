"""What a server tells of its models, and what its log tells of a checkpoint."""

import pytest

from storycore_tts.adapters.comfyui.protocol.installed import (
    InstalledModels,
    checkpoint_was_found,
    folders_of,
    names_of_files,
)

VOICE = "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"


def installed(*files):
    return InstalledModels(names_of_files(list(files)))


@pytest.mark.parametrize(
    "folder",
    ["Qwen3-TTS-12Hz-1.7B-CustomVoice", "qwen3-1.7B-customvoice-bf16"],
)
def test_a_model_that_the_node_pack_finds(folder):
    assert installed(f"{folder}/config.json", "x/config.json").missing(VOICE) is None


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "is not in models/qwen-tts"),
        (("Qwen3-TTS-12Hz-1.7B-Base/config.json",), "is not in models/qwen-tts"),
        (("Qwen3-TTS-12Hz-0.6B-CustomVoice/config.json",), "is not in models/qwen-tts"),
        (
            ("Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice/config.json",),
            "is in the subfolder Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice",
        ),
        (
            ("Qwen\\Qwen3-TTS-12Hz-1.7B-CustomVoice\\config.json",),
            "is in the subfolder Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice",
        ),
        (("Qwen3-TTS-12Hz-1.7B-CustomVoice/.cache/x",), "incomplete"),
    ],
)
def test_a_model_that_it_does_not_find(files, said):
    missing = installed(*files).missing(VOICE)
    assert missing is not None
    assert missing.startswith("Qwen3-TTS-12Hz-1.7B-CustomVoice ")
    assert said in missing


def test_a_tokenizer_is_known_by_its_whole_name():
    tokenizer = "Qwen/Qwen3-TTS-Tokenizer-12Hz"
    assert installed("Qwen3-TTS-Tokenizer-12Hz/config.json").missing(tokenizer) is None
    assert installed("Qwen3-TTS-12Hz-1.7B-Base/config.json").missing(tokenizer) is not None


@pytest.mark.parametrize("answer", [None, {"error": "none"}, "text"])
def test_a_server_that_does_not_tell_lacks_nothing(answer):
    models = InstalledModels(names_of_files(answer))
    assert models.missing(VOICE) is None
    assert models.has_checkpoint("/models/qwen-tts/mia", ("/models/qwen-tts",)) is None


@pytest.mark.parametrize(
    ("path", "root", "there"),
    [
        ("/srv/models/qwen-tts/mia", "/srv/models/qwen-tts", True),
        ("/srv/models/qwen-tts/mia/", "/srv/models/qwen-tts/", True),
        ("C:\\ComfyUI\\models\\qwen-tts\\mia", "C:\\ComfyUI\\models\\qwen-tts", True),
        ("/srv/models/qwen-tts/tom", "/srv/models/qwen-tts", False),
        ("/srv/models/qwen-tts-old/mia", "/srv/models/qwen-tts", None),
        ("/data/mia", "/srv/models/qwen-tts", None),
    ],
)
def test_a_checkpoint_below_the_folder_of_models(path, root, there):
    roots = folders_of({"qwen-tts": [root], "loras": ["/data"]}, "qwen-tts")
    assert installed("mia/config.json").has_checkpoint(path, roots) is there


def entry(text):
    return f"2026-11-29T01:29:25.993686 - {text}2026-11-29T01:29:25.993706 - \n"


FOUND = entry("🔧 [Qwen3-TTS] Using custom model path: /models/mia")
LOST = entry("⚠️ [Qwen3-TTS] Custom model path not found or invalid: /models/mia")
OTHER = entry("⚠️ [Qwen3-TTS] Custom model path not found or invalid: /models/mia2")
SPOKE = entry("[Qwen3-TTS] Generating segment 1/1: 'Using custom model p...'")


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (FOUND, True),
        (LOST, False),
        (LOST + SPOKE + FOUND + SPOKE + OTHER, True),
        (FOUND + LOST + OTHER, False),
        (OTHER + SPOKE, None),
        ("", None),
        (None, None),
        ({"entries": []}, None),
    ],
)
def test_the_last_load_of_a_checkpoint_tells(log, found):
    assert checkpoint_was_found(log, "/models/mia") is found
