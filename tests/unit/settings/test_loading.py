"""The YAML block, files, environment variables, and where each value came from."""

import json
from pathlib import Path

import pytest
import yaml

import storycore_tts
from storycore_tts.domain.parameters import parameters_of
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.domain.sampling import Sampling, SamplingParameters
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.errors import ConfigurationError
from storycore_tts.services.speech import Defaults
from storycore_tts.settings import (
    QwenTTSConfig,
    QwenTTSGenerationConfig,
    QwenTTSModelConfig,
    QwenTTSTrainingConfig,
    adapter_names,
    load_config,
)

PACKAGED = Path(storycore_tts.__file__).with_name("default.yaml")
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
    assert PLAN in PACKAGED.read_text(encoding="utf-8")
    assert (CHECKOUT / "config" / "default.yaml").samefile(PACKAGED)
    written = {key.removeprefix("tts.qwen."): value for key, value in leaves(yaml.safe_load(PLAN))}
    assert len(written) == 15
    assert dict(leaves(loaded.config.model_dump())).items() >= written.items()
    assert {key for key, source in loaded.sources.items() if source != "default"} == set(written)


def test_the_defaults_in_yaml_are_the_defaults_of_the_classes():
    written = dict(leaves(yaml.safe_load(PACKAGED.read_text(encoding="utf-8"))["tts"]["qwen"]))
    of_classes = dict(leaves(QwenTTSConfig().model_dump()))
    # The file may leave out parameters that the plan does not have: their defaults are declared.
    blocks = {"generation": SamplingParameters, "training": TrainingParameters}
    left_out = {
        f"{block}.{one.name}": one.default
        for block, declared in blocks.items()
        for one in parameters_of(declared)
    }
    # Nor does each voice of others have a language.
    left_out |= {key: None for key in of_classes if key.startswith("voice_map.")}
    assert {**left_out, **written} == of_classes


def test_the_defaults_of_the_settings_are_those_of_the_requests():
    assert QwenTTSGenerationConfig().sampling() == Sampling()
    request = TrainingRequest("/data", "/out", "mia")
    assert all(getattr(request, k) == v for k, v in QwenTTSTrainingConfig().model_dump().items())
    assert request.model_choice == QwenTTSConfig().model_choice
    assert Defaults().speaker == QwenTTSConfig().default_speaker
    assert Defaults().language == QwenTTSConfig().default_language


def test_the_flat_form_is_the_block_and_blocks_are_objects_or_mappings():
    given = {"model_choice": "1.7B", "device": "cuda", "precision": "bf16"}
    config = QwenTTSConfig(comfyui_url="http://10.0.0.5:8188", **given)
    assert isinstance(config, QwenTTSModelConfig)
    expected = {**QwenTTSConfig().model_dump(), "comfyui_url": "http://10.0.0.5:8188"}
    assert config.model_dump() == expected
    by_object = QwenTTSConfig(generation=QwenTTSGenerationConfig(top_k=7))
    assert by_object == QwenTTSConfig(generation={"top_k": 7})
    assert by_object.generation.sampling(seed=4, top_p=None) == Sampling(top_k=7, seed=4)
    with pytest.raises(ValueError, match="frozen"):
        config.device = "cpu"


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(load, tmp_path):
    file, variable = str(tmp_path / "mine.yaml"), "environment variable STORYCORE_TTS_"
    loaded = load(
        "tts: {qwen: {device: cpu, precision: fp32, generation: {top_p: 0.5, top_k: 5}}}",
        STORYCORE_TTS_DEVICE="mps",
        STORYCORE_TTS_GENERATION__TOP_K="6",
    )
    values = dict(leaves(loaded.config.model_dump()))
    for key, value, source in (
        ("device", "mps", f"{variable}DEVICE"),
        ("precision", "fp32", file),
        ("model_choice", "1.7B", "default"),
        ("generation.top_p", 0.5, file),
        ("generation.top_k", 6, f"{variable}GENERATION__TOP_K"),
        ("generation.temperature", 1.0, "default"),
    ):
        assert (values[key], loaded.sources[key]) == (value, source)
    block = "{top_k: 7, top_p: 0.6}"  # replaces what it names, and no more
    config = load("tts: {qwen: {generation: {top_p: 0.5}}}", STORYCORE_TTS_GENERATION=block).config
    assert config.generation == QwenTTSGenerationConfig(top_k=7, top_p=0.6)


def test_each_value_knows_the_line_of_its_key(load, tmp_path):
    file = tmp_path / "mine.yaml"
    loaded = load(
        """\
# A comment.
base: &base
  top_k: 5
tts:
  qwen:
    generation:
      <<: *base
      top_p: 0.5
    comfyui: {timeouts: {idle: 60.0},
      headers: {X-Key: abc}}
    voice_map:
      alloy: {speaker: Mia}
""",
        STORYCORE_TTS_RETRY="{attempts: 5}",
    )
    for key, line in (
        ("generation.top_k", 3),
        ("generation.top_p", 8),
        ("comfyui.timeouts.idle", 9),
        ("comfyui.headers.X-Key", 10),
        ("voice_map.alloy.speaker", 12),
    ):
        assert str(loaded.origin(key)) == f"{file}:{line}", key
    assert str(loaded.origin("retry.attempts")) == "environment variable STORYCORE_TTS_RETRY"
    assert str(loaded.origin("device")) == "default"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("BACKEND", "draft", "backend", "draft"),
        ("COMFYUI_URL", "http://h:1/p/", "comfyui_url", "http://h:1/p"),
        ("UNLOAD_MODEL_AFTER_GENERATE", "true", "unload_model_after_generate", True),
        ("TRAINING__LEARNING_RATE", "2e-5", "training.learning_rate", 2e-5),
        ("COMFYUI__TIMEOUTS__IDLE", "60", "comfyui.timeouts.idle", 60.0),
        ("COMFYUI__VERIFY_TLS", "/etc/ca.pem", "comfyui.verify_tls", "/etc/ca.pem"),
        ("COMFYUI__HEADERS__X_KEY", "Bearer x", "comfyui.headers.x_key", "Bearer x"),
        ("COMFYUI__HEADERS", "{X-Key: abc}", "comfyui.headers.X-Key", "abc"),
        ("OUTPUT_DIR", "/tmp/voices", "output_dir", "/tmp/voices"),
        ("DEFAULT_LANGUAGE", "fr-FR", "default_language", "French"),
        ("GENERATION__SEED", "18446744073709551615", "generation.seed", 2**64 - 1),
    ],
)
def test_every_kind_of_value_can_come_from_the_environment(load, variable, text, key, value):
    loaded = load(**{f"STORYCORE_TTS_{variable}": text})
    assert dict(leaves(loaded.config.model_dump()))[key] == value


def test_variables_of_others_and_those_of_ours_that_are_no_settings_are_let_through(load):
    others = ("storycore_tts_", "STORYCORE_", "QWEN_TTS_", "STORYCORE-TTS_")
    ours = {"LIVE_COMFYUI_URL": "http://127.0.0.1:8188", "LIVE_MODEL_DIR": "/m", "FAULT_SEED": "7"}
    loaded = load(
        **{f"{prefix}NONSENSE": "1" for prefix in others},
        **{f"STORYCORE_TTS_{name}": text for name, text in ours.items()},
    )
    assert loaded.config == QwenTTSConfig()
    assert set(loaded.sources.values()) == {"default"}


@pytest.mark.parametrize(
    "text",
    [None, "", "# nothing\n", "tts:\n", "tts: {}", "tts: {qwen: }", "tts: {qwen: {}}", "a: 1"],
)
def test_without_a_file_or_with_one_that_says_nothing_of_us_the_defaults_hold(load, text):
    loaded = load(text)
    assert loaded.config == QwenTTSConfig()
    assert set(loaded.sources.values()) == {"default"}


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
    any_json = json.dumps({"tts": {"qwen": {"output_dir": "ü\t"}}})
    assert load(any_json).config.output_dir == "ü\t"


def test_numbers_are_written_as_people_write_them_and_the_rest_is_text(load):
    for number in ("2e-5", "2E-5", "2.0e-5", "+2e-05", "0.2e-4", "0.00002"):
        text = f"tts: {{qwen: {{training: {{learning_rate: {number}}}}}}}"
        assert load(text).config.training.learning_rate == 2e-5
    for word in ("'2e-5'", "e5", "2e", "2e-5x", "1.7B"):
        config = load(f"tts: {{qwen: {{default_speaker: {word}}}}}").config
        assert config.default_speaker == word.strip("'")


def test_usual_places_are_asked_in_order_and_a_named_file_comes_first(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    for name in ("config/default.yaml", "config/storycore-tts.yaml", "storycore-tts.yaml"):
        (tmp_path / name).write_text(f"tts: {{qwen: {{default_speaker: {name}}}}}")
        loaded = load_config()
        assert loaded.config.default_speaker == name
        assert loaded.sources["default_speaker"] == str(Path(name))
    for name in ("named", "given"):
        (tmp_path / name).write_text(f"tts: {{qwen: {{default_speaker: {name}}}}}")
    environ = {"STORYCORE_TTS_CONFIG": str(tmp_path / "named"), "STORYCORE_TTS_DEVICE": "cpu"}
    assert load_config(environ=environ).config.default_speaker == "named"
    assert load_config(str(tmp_path / "given"), environ=environ).config.default_speaker == "given"
    monkeypatch.setattr("os.environ", environ)  # the usual one
    assert load_config().config.device == "cpu"


def test_a_named_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    for name in ("missing.yaml", ".", "a\x00b.yaml"):
        with pytest.raises(ConfigurationError, match="Cannot read the settings in") as caught:
            load_config(f"{tmp_path}/{name}", environ={})
        assert Path(caught.value.source) == Path(f"{tmp_path}/{name}")
    path = tmp_path / "latin.yaml"
    path.write_bytes("tts: {qwen: {default_speaker: Zoë}}".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.yaml.*utf-8"):
        load_config(path, environ={})


def test_the_adapters_that_are_installed_are_the_backends():
    assert {"comfyui", "draft"} <= set(adapter_names())
    assert adapter_names() == sorted(adapter_names())
