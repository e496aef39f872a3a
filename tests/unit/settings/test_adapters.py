"""Settings of adapters that other packages bring."""

import sys
from textwrap import dedent

import pytest

from storycore_tts.errors import ConfigurationError
from storycore_tts.settings import AdapterSettings, DraftConfig, QwenTTSConfig, load_config

ACME = """
    from typing import Literal

    from pydantic import Field

    from storycore_tts.settings import AdapterSettings


    class AcmeSettings(AdapterSettings):
        voice: str = "ann"
        mood: Literal["calm", "loud"] | None = None
        token: str = Field(default="", repr=False)
        also_read = ("default_speaker",)


    class Strict(AdapterSettings):
        voice: str


    def create(config): ...
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs the package ``storycore-tts-acme`` with the adapter acme."""

    def install(settings="AcmeSettings"):
        packages = tmp_path / settings
        metadata = packages / "storycore_tts_acme-1.0.dist-info"
        metadata.mkdir(parents=True)
        (packages / "storycore_tts_acme.py").write_text(dedent(ACME))
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: storycore-tts-acme\n")
        points = "[storycore_tts.adapters]\nacme = storycore_tts_acme:create\n"
        if settings:
            points += "[storycore_tts.adapter_settings]\n"
            points += (
                f"acme = {settings if ':' in settings else f'storycore_tts_acme:{settings}'}\n"
            )
        (metadata / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(packages)
        monkeypatch.delitem(sys.modules, "storycore_tts_acme", raising=False)

    return install


def acme_of(config):
    return config.block("acme", AdapterSettings).model_dump()


def test_its_block_is_read_like_the_others(install, load, tmp_path):
    install()
    loaded = load("tts:\n  qwen:\n    acme:\n      mood: calm\n", STORYCORE_TTS_ACME__VOICE="bob")
    assert acme_of(loaded.config) == {"voice": "bob", "mood": "calm", "token": ""}
    assert str(loaded.origin("acme.mood")) == f"{tmp_path / 'mine.yaml'}:4"
    assert str(loaded.origin("acme.voice")) == "environment variable STORYCORE_TTS_ACME__VOICE"
    assert acme_of(load("").config)["voice"] == "ann"
    given = QwenTTSConfig(acme={"voice": "cleo"})
    assert acme_of(given)["voice"] == "cleo"
    assert QwenTTSConfig(acme=given.block("acme", AdapterSettings)) == given != QwenTTSConfig()


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("acme: {voise: x}", "tts.qwen.acme.voise is not a known key. Allowed: one of voice, "
         "mood, token. Did you mean 'voice'?"),
        ("acme: {voice: 5}", "tts.qwen.acme.voice cannot be 5. Allowed: a valid string"),
        ("acme: {mood: loot}", "tts.qwen.acme.mood cannot be 'loot'. Allowed: 'calm' or 'loud'"),
        ("acme: {token: 73577357}", "tts.qwen.acme.token cannot be '…'. Allowed: a valid string"),
        ("acme: 5", "tts.qwen.acme cannot be 5. Allowed: a valid dictionary"),
        ("acne: {voice: x}", "tts.qwen.acne is not a known key."),
        ("acne: {voice: x}", "Did you mean 'acme'?"),
    ],
)  # fmt: skip
def test_a_refusal_says_where_and_what_is_allowed(install, load, tmp_path, block, said):
    install()
    with pytest.raises(ConfigurationError) as caught:
        load(f"tts:\n  qwen:\n    {block}")
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}:3: tts.qwen.ac")
    assert said in str(caught.value)
    assert "73577357" not in str(caught.value)


def test_an_adapter_without_settings_takes_none(install, load):
    install("")
    assert acme_of(load("tts: {qwen: {acme: {}}}").config) == {}
    with pytest.raises(ConfigurationError, match=r"acme\.voice is not a known key"):
        load("tts: {qwen: {acme: {voice: x}}}")


def test_settings_without_a_default_are_asked_for_when_the_adapter_is_made(install, load):
    install("Strict")
    config = load("").config
    with pytest.raises(ConfigurationError, match=r"tts\.qwen\.acme .*mapping with the key voice"):
        config.block("acme", AdapterSettings)


@pytest.mark.parametrize(
    "declared", ["a_package_that_nobody_has:A", "create", "Missing", "broken_acme:A"]
)
def test_a_declaration_that_is_none_names_its_package(install, load, tmp_path, declared):
    install(declared)
    (tmp_path / declared / "broken_acme.py").write_text("def (:")
    with pytest.raises(ConfigurationError, match="settings of the adapter 'acme' cannot") as caught:
        load("tts: {qwen: {acme: {voice: x}}}")
    assert "storycore-tts-acme" in caught.value.hint


def test_an_adapter_is_made_anew_for_what_it_reads_only(install):
    install()

    def read(adapter, **settings):
        return QwenTTSConfig(**settings).read_by(adapter)

    for adapter, settings in (
        ("acme", {"acme": {"voice": "bob"}}),
        ("acme", {"acme": {"token": "secret"}}),
        ("acme", {"default_speaker": "Eric"}),
        ("acme", {"device": "cpu"}),
        ("comfyui", {"comfyui_url": "http://10.0.0.1:8188"}),
        ("draft", {"draft": {"words_per_minute": 100}}),
    ):
        assert read(adapter, **settings) != read(adapter), settings
    for adapter, settings in (
        ("acme", {"draft": {"words_per_minute": 100}}),
        ("acme", {"generation": {"top_p": 0.5}}),
        ("direct", {"comfyui_url": "http://10.0.0.1:8188"}),
        ("comfyui", {"acme": {"voice": "bob"}, "default_speaker": "Eric"}),
    ):
        assert read(adapter, **settings) == read(adapter), settings


def test_a_block_of_ours_is_one_like_any_other():
    given = DraftConfig(words_per_minute=100)
    assert QwenTTSConfig(draft=given).block("draft", DraftConfig) is given


def test_options_stand_above_everything(load, tmp_path):
    loaded = load_config(
        environ={"STORYCORE_TTS_DEVICE": "cpu"}, options={"--device": ("device", "mps")}
    )
    assert (loaded.config.device, loaded.sources["device"]) == ("mps", "--device")
    with pytest.raises(ConfigurationError, match=r"^--device: tts\.qwen\.device cannot be 'tpu'"):
        load_config(environ={}, options={"--device": ("device", "tpu")})
