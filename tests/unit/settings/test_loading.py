"""The YAML block, files, environment variables, and where each value came from."""

from pathlib import Path

import pytest
import yaml

import storycore_tts.settings
from storycore_tts.domain.errors import ConfigurationError
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.services.speech import Defaults
from storycore_tts.settings import (
    QwenTTSConfig,
    QwenTTSGenerationConfig,
    QwenTTSModelConfig,
    QwenTTSTrainingConfig,
    adapter_names,
    load_config,
)

PACKAGED = Path(storycore_tts.settings.__file__).with_name("default.yaml")
CHECKOUT = Path(__file__).parents[3]

PLAN = """\
tts:
  qwen:
    backend: comfyui  # direct or comfyui
    comfyui_url: http://127.0.0.1:8188
    model_choice: 1.7B
    device: cuda
    precision: bf16
    default_speaker: Ryan
    generation: {max_new_tokens: 2048, top_p: 0.8, top_k: 20, temperature: 1.0, \
repetition_penalty: 1.05}
    training: {learning_rate: 0.00002, num_epochs: 10, batch_size: 1, \
gradient_accumulation_steps: 4}
"""


def leaves(tree, above=()):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*above, key))
        else:
            yield ".".join((*above, key)), value


def test_the_plans_block_loads_unchanged(load):
    loaded = load(PLAN)
    assert loaded.config == QwenTTSConfig()
    written = {key.removeprefix("tts.qwen."): value for key, value in leaves(yaml.safe_load(PLAN))}
    assert len(written) == 15
    assert dict(leaves(loaded.config.model_dump())).items() >= written.items()
    assert {key for key, source in loaded.sources.items() if source != "default"} == set(written)


def test_the_defaults_hold_the_plans_block_word_for_word():
    assert PLAN in PACKAGED.read_text(encoding="utf-8")


def test_the_checkout_has_one_file_of_defaults():
    assert (CHECKOUT / "config" / "default.yaml").samefile(PACKAGED)


def test_the_defaults_in_yaml_are_the_defaults_of_the_classes():
    written = dict(leaves(yaml.safe_load(PACKAGED.read_text(encoding="utf-8"))["tts"]["qwen"]))
    of_classes = dict(leaves(QwenTTSConfig().model_dump()))
    # These two may be left out, and then mean the same: no seed, and a number the plan leaves out.
    left_out = {"generation.seed": None, "training.validate_every": 2}
    assert {**written, **left_out} == of_classes


def test_the_defaults_of_the_settings_are_those_of_the_requests():
    assert QwenTTSGenerationConfig().sampling() == Sampling()
    request = TrainingRequest("/data", "/out", "mia")
    assert all(getattr(request, k) == v for k, v in QwenTTSTrainingConfig().model_dump().items())
    assert request.model_choice == QwenTTSConfig().model_choice
    assert Defaults().speaker == QwenTTSConfig().default_speaker
    assert Defaults().language == QwenTTSConfig().default_language


def test_without_anything_the_defaults_are_loaded(load):
    loaded = load()
    assert loaded.config == QwenTTSConfig()
    assert set(loaded.sources.values()) == {"default"}


def test_the_flat_form_is_the_block():
    config = QwenTTSConfig(
        comfyui_url="http://10.0.0.5:8188", model_choice="1.7B", device="cuda", precision="bf16"
    )
    assert isinstance(config, QwenTTSModelConfig)
    assert config.model_dump() == {
        **QwenTTSConfig().model_dump(),
        "comfyui_url": "http://10.0.0.5:8188",
    }


def test_blocks_may_be_given_as_objects_or_as_mappings():
    by_object = QwenTTSConfig(generation=QwenTTSGenerationConfig(top_k=7))
    assert by_object == QwenTTSConfig(generation={"top_k": 7})
    assert by_object.generation.sampling(seed=4, top_p=None) == Sampling(top_k=7, seed=4)


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        QwenTTSConfig().device = "cpu"


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(load, tmp_path):
    loaded = load(
        "tts: {qwen: {device: cpu, precision: fp32, generation: {top_p: 0.5, top_k: 5}}}",
        STORYCORE_TTS_DEVICE="mps",
        STORYCORE_TTS_GENERATION__TOP_K="6",
    )
    config, sources = loaded.config, loaded.sources
    assert (config.device, config.precision, config.model_choice) == ("mps", "fp32", "1.7B")
    assert (config.generation.top_p, config.generation.top_k) == (0.5, 6)
    assert config.generation.temperature == 1.0
    assert sources["device"] == "environment variable STORYCORE_TTS_DEVICE"
    assert sources["precision"] == str(tmp_path / "mine.yaml")
    assert sources["model_choice"] == "default"
    assert sources["generation.top_p"] == str(tmp_path / "mine.yaml")
    assert sources["generation.top_k"] == "environment variable STORYCORE_TTS_GENERATION__TOP_K"
    assert sources["generation.temperature"] == "default"


def test_a_whole_block_in_the_environment_replaces_what_it_names_and_no_more(load):
    loaded = load(
        "tts: {qwen: {generation: {top_p: 0.5}}}", STORYCORE_TTS_GENERATION="{top_k: 6, top_p: 0.6}"
    )
    assert (loaded.config.generation.top_k, loaded.config.generation.top_p) == (6, 0.6)
    assert loaded.config.generation.temperature == 1.0


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("BACKEND", "draft", "backend", "draft"),
        ("COMFYUI_URL", "http://h:1/p/", "comfyui_url", "http://h:1/p"),
        ("UNLOAD_MODEL_AFTER_GENERATE", "true", "unload_model_after_generate", True),
        ("TRAINING__LEARNING_RATE", "2e-5", "training.learning_rate", 2e-5),
        ("COMFYUI__TIMEOUTS__IDLE", "60", "comfyui.timeouts.idle", 60.0),
        ("COMFYUI__VERIFY_TLS", "/etc/ca.pem", "comfyui.verify_tls", "/etc/ca.pem"),
        (
            "COMFYUI__HEADERS__AUTHORIZATION",
            "Bearer x",
            "comfyui.headers.authorization",
            "Bearer x",
        ),
        ("COMFYUI__HEADERS", "{X-Key: abc}", "comfyui.headers.X-Key", "abc"),
        ("OUTPUT_DIR", "/tmp/voices", "output_dir", "/tmp/voices"),
        ("DEFAULT_LANGUAGE", "fr-FR", "default_language", "French"),
        ("GENERATION__SEED", "18446744073709551615", "generation.seed", 2**64 - 1),
    ],
)
def test_every_kind_of_value_can_come_from_the_environment(load, variable, text, key, value):
    loaded = load(**{f"STORYCORE_TTS_{variable}": text})
    assert dict(leaves(loaded.config.model_dump()))[key] == value


@pytest.mark.parametrize("prefix", ["storycore_tts_", "STORYCORE_", "QWEN_TTS_", "STORYCORE-TTS_"])
def test_variables_without_our_prefix_are_not_ours(load, prefix):
    assert load(**{f"{prefix}NONSENSE": "1"}).config == QwenTTSConfig()


def test_variables_of_ours_that_are_no_settings_are_let_through(load):
    loaded = load(
        STORYCORE_TTS_LIVE_COMFYUI_URL="http://127.0.0.1:8188",
        STORYCORE_TTS_LIVE_MODEL_DIR="/m",
        STORYCORE_TTS_FAULT_SEED="7",
    )
    assert set(loaded.sources.values()) == {"default"}


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "tts:\n", "tts: {}", "tts: {qwen: }", "tts: {qwen: {}}", "other: 1"]
)
def test_a_file_may_say_nothing_of_us(load, text):
    assert load(text).config == QwenTTSConfig()


def test_a_file_may_hold_other_things_and_use_anchors_and_merges(load):
    loaded = load(
        """
        engine: {name: StoryCore, layers: [1, 2]}
        voices: &voices
          generation: &calm {temperature: 0.6}
          <<: {device: cpu, precision: fp32}
          device: auto
        tts:
          espeak: {speed: 3}
          qwen:
            <<: *voices
            precision: bf16
            generation:
              <<: *calm
              top_k: 3
        """
    )
    assert (loaded.config.device, loaded.config.precision) == ("auto", "bf16")
    assert loaded.config.generation == QwenTTSGenerationConfig(temperature=0.6, top_k=3)


@pytest.mark.parametrize("number", ["2e-5", "2E-5", "2.0e-5", "+2e-05", "0.2e-4", "0.00002"])
def test_numbers_are_written_as_people_write_them(load, number):
    text = f"tts: {{qwen: {{training: {{learning_rate: {number}}}}}}}"
    assert load(text).config.training.learning_rate == 2e-5


@pytest.mark.parametrize("text", ["'2e-5'", "e5", "2e", "2e-5x", "1.7B"])
def test_what_only_looks_like_a_number_is_text(load, text):
    assert load(f"tts: {{qwen: {{default_speaker: {text}}}}}").config.default_speaker == text.strip(
        "'"
    )


def test_a_url_with_a_path_keeps_it_and_loses_only_its_last_slash():
    assert QwenTTSConfig(comfyui_url="https://h/comfy/x/").comfyui_url == "https://h/comfy/x"
    assert QwenTTSConfig(comfyui_url="HTTPS://Host/X").comfyui_url == "https://Host/X"


@pytest.mark.parametrize(
    "name", ["storycore-tts.yaml", "config/storycore-tts.yaml", "config/default.yaml"]
)
def test_a_file_in_a_usual_place_is_found(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("tts: {qwen: {device: cpu}}")
    loaded = load_config(environ={})
    assert loaded.config.device == "cpu"
    assert loaded.sources["device"] == str(Path(name))


def test_usual_places_are_asked_in_order_and_a_named_file_comes_first(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.yaml").write_text("tts: {qwen: {default_speaker: third}}")
    assert load_config(environ={}).config.default_speaker == "third"
    (tmp_path / "storycore-tts.yaml").write_text("tts: {qwen: {default_speaker: first}}")
    assert load_config(environ={}).config.default_speaker == "first"
    (tmp_path / "named.yaml").write_text("tts: {qwen: {default_speaker: named}}")
    environ = {"STORYCORE_TTS_CONFIG": str(tmp_path / "named.yaml")}
    assert load_config(environ=environ).config.default_speaker == "named"
    (tmp_path / "given.yaml").write_text("tts: {qwen: {default_speaker: given}}")
    loaded = load_config(str(tmp_path / "given.yaml"), environ=environ)
    assert loaded.config.default_speaker == "given"


def test_the_process_environment_is_the_usual_one(monkeypatch):
    monkeypatch.setattr("os.environ", {"STORYCORE_TTS_DEVICE": "cpu"})
    assert load_config().config.device == "cpu"


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\x00b.yaml"])
def test_a_named_file_that_cannot_be_read_is_refused_by_name(name, tmp_path):
    with pytest.raises(ConfigurationError, match="Cannot read the settings in") as caught:
        load_config(f"{tmp_path}/{name}", environ={})
    assert Path(caught.value.source) == Path(f"{tmp_path}/{name}")


def test_a_file_that_is_not_utf8_is_refused_by_name(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("tts: {qwen: {default_speaker: Zoë}}".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.yaml.*utf-8"):
        load_config(path, environ={})


def test_the_adapters_that_are_installed_are_the_backends():
    assert {"comfyui", "draft"} <= set(adapter_names())
    assert adapter_names() == sorted(adapter_names())
