"""Every refusal says where the value stands, what it is, and what would be allowed."""

from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from storycore_tts.errors import ConfigurationError
from storycore_tts.settings import LoadedConfig, QwenTTSConfig, load_config

REFUSALS = [
    ("model_choise: 1.7B", "model_choise", "1.7B", "Did you mean 'model_choice'?"),
    ("generation: {top_pp: 0.8}", "generation.top_pp", 0.8, "Did you mean 'top_p'?"),
    ("comfyui: {timeouts: {idel: 3}}", "comfyui.timeouts.idel", 3, "Did you mean 'idle'?"),
    ("self: 1", "self", 1, "one of model_choice"),
    ("seed: 3", "seed", 3, "one of model_choice"),
    ("model_choice: 1.7b", "model_choice", "1.7b", "Did you mean '1.7B'?"),
    ("model_choice: 1.7", "model_choice", 1.7, "one of 0.6B, 1.7B. Did you mean '1.7B'?"),
    ("device: gpu", "device", "gpu", "one of auto, cuda, cuda:N, mps, xpu, cpu"),
    ("device: cuda:x", "device", "cuda:x", "one of auto, cuda, cuda:N"),
    ("precision: fp16", "precision", "fp16", "one of bf16, fp32. Did you mean 'bf16'?"),
    ("attention: flash", "attention", "flash", "one of auto, sdpa, flash_attn"),
    ("backend: comfyuii", "backend", "comfyuii", "Did you mean 'comfyui'?"),
    (
        "fallback: {direct: draft}",
        "fallback",
        {"direct": "draft"},
        "a name, a list of names, or none",
    ),
    ("fallback: [draft, 5]", "fallback", ["draft", 5], "a name, a list of names, or none"),
    ("default_language: Germn", "default_language", "Germn", "Did you mean 'German'?"),
    ("default_speaker: ''", "default_speaker", "", "at least 1 character"),
    ("default_speaker: 5", "default_speaker", 5, "a valid string"),
    ("unload_model_after_generate: 'yes'", "unload_model_after_generate", "yes", "a valid boolean"),
    ("generation: {top_p: 1.5}", "generation.top_p", 1.5, "a number from 0 to 1"),
    ("generation: {top_p: -1}", "generation.top_p", -1, "a number from 0 to 1"),
    ("generation: {top_p: '0.8'}", "generation.top_p", "0.8", "a number from 0 to 1"),
    ("generation: {top_p: true}", "generation.top_p", True, "a number from 0 to 1"),
    ("generation: {top_k: 2.0}", "generation.top_k", 2.0, "a whole number from 0 to 1000"),
    ("generation: {max_new_tokens: 0}", "generation.max_new_tokens", 0, "from 1 to 8192"),
    ("generation: {seed: -1}", "generation.seed", -1, "from 0 to 2**64-1"),
    ("generation: 5", "generation", 5, "a valid dictionary"),
    ("generation:", "generation", None, "a valid dictionary"),
    ("training: {learning_rate: 1}", "training.learning_rate", 1, "to 0.001"),
    ("training: {num_epochs: [3]}", "training.num_epochs", [3], "a whole number"),
    ("comfyui: {timeouts: {job: 0}}", "comfyui.timeouts.job", 0, "greater than 0"),
    ("comfyui: {timeouts: {job: .inf}}", "comfyui.timeouts.job", float("inf"), "number"),
    ("comfyui: {headers: {X-Key: 1}}", "comfyui.headers.X-Key", "…", "a valid string"),
    ("comfyui: {verify_tls: 3}", "comfyui.verify_tls", 3, "a valid boolean or a valid string"),
    ("draft: {words_per_minute: 79}", "draft.words_per_minute", 79, "or equal to 80"),
    ("comfyui_url: 127.0.0.1:8188", "comfyui_url", "127.0.0.1:8188", "must begin with http://"),
    (
        "voice_map: {mine: {language: German}}",
        "voice_map.mine",
        {"language": "German"},
        "a mapping with the key speaker",
    ),
    ("comfyui_url: ''", "comfyui_url", "", "such as http://127.0.0.1:8188"),
]


@pytest.mark.parametrize(("text", "key", "value", "allowed"), REFUSALS)
def test_a_refusal_names_file_key_value_and_what_is_allowed(
    load, tmp_path, text, key, value, allowed
):
    with pytest.raises(ConfigurationError) as caught:
        load(f"tts: {{qwen: {{{text}}}}}")
    error, file = caught.value, str(tmp_path / "mine.yaml")
    assert (error.source, error.key, error.value) == (file, f"tts.qwen.{key}", value)
    assert allowed in error.allowed
    assert str(error).startswith(f"{file}:1: tts.qwen.{key} ")
    assert error.allowed in str(error)
    assert repr(value) in str(error) or "is not a known key" in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    ("variable", "text", "key", "said"),
    [
        ("COMFYUI_ULR", "http://h", "comfyui_ulr", "Did you mean 'comfyui_url'?"),
        ("GENERATION__TOP_PP", "1", "generation.top_pp", "Did you mean 'top_p'?"),
        ("GENERATION__TOP_P", "high", "generation.top_p", "be 'high'. Allowed: a number from 0"),
        ("GENERATION__TOP_P", "", "generation.top_p", "cannot be None"),
        ("GENERATION__TOP_P__X", "1", "generation.top_p", "cannot be {'x': 1}"),
        ("GENERATION", "5", "generation", "cannot be 5"),
        ("DEVICE", "gpu", "device", "one of auto, cuda, cuda:N, mps, xpu, cpu"),
        ("SELF", "1", "self", "is not a known key"),
        ("", "1", "", "is not a known key"),
    ],
)
def test_a_refusal_names_the_variable(load, variable, text, key, said):
    with pytest.raises(ConfigurationError) as caught:
        load(**{f"STORYCORE_TTS_{variable}": text})
    assert caught.value.source == f"environment variable STORYCORE_TTS_{variable}"
    assert caught.value.key == f"tts.qwen.{key}"
    assert said in str(caught.value)


def test_a_variable_may_be_no_yaml_or_say_better_than_the_file(load):
    with pytest.raises(ConfigurationError, match="STORYCORE_TTS_DEVICE is not valid YAML"):
        load(STORYCORE_TTS_DEVICE="{")
    assert load("tts: {qwen: {device: gpu}}", STORYCORE_TTS_DEVICE="cpu").config.device == "cpu"


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"devise": "cuda"}, "devise", "Did you mean 'device'?"),
        ({"device": "gpu"}, "device", "one of auto, cuda, cuda:N, mps, xpu, cpu"),
        ({"comfyui": {"timeouts": {"job": "1"}}}, "comfyui.timeouts.job", "a valid number"),
        ({"voice_map": {"v": {"speaker": "M", "language": "X"}}}, "voice_map.v.language", "'X'"),
        ({"voice_map": {"v": {"speaker": ""}}}, "voice_map.v.speaker", "at least 1 character"),
        (
            {"voice_map": {"v": {"speaker": "M", "lang": "it"}}},
            "voice_map.v.lang",
            "not a known key",
        ),
        ({"voice_map": {"v": "Mia"}}, "voice_map.v", "'Mia'"),
    ],
)
def test_the_flat_form_is_refused_in_the_same_words(values, key, said):
    with pytest.raises(ConfigurationError) as caught:
        QwenTTSConfig(**values)
    assert caught.value.key == key
    assert key in str(caught.value)
    assert said in str(caught.value)


NO_YAML = "is not valid YAML"
NO_MAPPING = "must be a mapping, not"


@pytest.mark.parametrize(
    ("said", "texts"),
    [
        (NO_YAML, ["a: b: c", "\t- a", "%YAML 9.9\n---\na", "a: 1\n---\nb: 2", "[" * 2000]),
        (NO_YAML, ["a: 2026-99-99", "a: !!timestamp soon", "a: !!bool maybe", "a: !!omap {b: c}"]),
        (NO_YAML, ["a: !!int ''", "a: !!int x", "a: !!float ''", "a: !!map b", "a: !!map [b]"]),
        (NO_YAML, ["a: !!python/object/apply:os.system [ls]", "a: *missing", "<<: 5"]),
        (NO_YAML, ["{[a]: 1}", "{&a {x: 1}: 1}", f"a: {'9' * 5000}"]),
        ("duplicate key 'device'", ["tts: {qwen: {device: cpu, device: cuda}}"]),
        ("duplicate key 'tts'", ["a: 1\ntts: {}\ntts: {}"]),
        ("duplicate key 'z'", ["x: {y: [{z: 1, z: 1}]}"]),
        (NO_MAPPING, ["- a", "5", "tts: 5", "tts: [a]", "tts: {qwen: 0}", "tts: {qwen: []}"]),
        (".", [f"tts: {{qwen: {block}}}" for block in ("&a {x: *a}", "&a [*a]")]),
        (".", [f"tts: {{qwen: {{{name}: &a [*a]}}}}" for name in ("generation", "device")]),
        (
            r":1: tts\.qwen\.generation\.top_k ",
            [f"tts: {{qwen: {{generation: {{top_k: 0x{'f' * 5000}}}}}}}"],
        ),
    ],
)
def test_what_is_no_yaml_or_no_block_is_refused_by_the_name_of_its_file(
    load, tmp_path, said, texts
):
    for text in texts:
        with pytest.raises(ConfigurationError, match=said) as caught:
            load(text)
        assert caught.value.source == str(tmp_path / "mine.yaml")
        assert len(str(caught.value)) < 500
        assert said != NO_MAPPING or caught.value.allowed == "a mapping"


def bomb(kind):
    """Return YAML whose last anchor stands for four to the fortieth values."""
    lines = [f"a0: &a0 {kind.format(*['x'] * 4)}"]
    lines += [f"a{n}: &a{n} {kind.format(*[f'*a{n - 1}'] * 4)}" for n in range(1, 40)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("[{}, {}, {}, {}]", "tts: *a39"),
        ("[{}, {}, {}, {}]", "tts: {qwen: *a39}"),
        ("[{}, {}, {}, {}]", "tts: {qwen: {device: *a39}}"),
        ("{{a: {}, b: {}, c: {}, d: {}}}", "tts: {qwen: *a39}"),
        ("{{a: {}, b: {}, c: {}, d: {}}}", "tts: {qwen: {generation: *a39}}"),
        ("{{a: {}, b: {}, c: {}, d: {}}}", "tts: {qwen: {comfyui: {headers: *a39}}}"),
    ],
)
@pytest.mark.timeout(5)
def test_a_document_that_unfolds_to_any_size_is_refused_in_few_words(load, kind, place):
    with pytest.raises(ConfigurationError) as caught:
        load(bomb(kind) + place)
    assert len(str(caught.value)) < 5000


def test_more_values_than_anyone_sets_are_refused(load):
    headers = ", ".join(f"h{n}: x" for n in range(1000))
    with pytest.raises(ConfigurationError, match="more than 1000 values"):
        load(f"tts: {{qwen: {{device: cpu, comfyui: {{headers: {{{headers}}}}}}}}}")


def loads_or_refuses(path, text):
    path.write_text(text, encoding="utf-8", errors="replace")
    loaded = refusal = None
    try:
        loaded = load_config(path, environ={})
    except ConfigurationError as error:
        refusal = error
    assert isinstance(loaded, LoadedConfig) or refusal.source == str(path)


yamlish = st.text(
    st.sampled_from(list("tsqwen:abc{}[]&*!|>-?%@#'\"\\ \n\t,.0123e+~<=/ü\x00\ud83d"))
)


@given(st.text() | yamlish, st.sampled_from(["{}", "tts: {}", "tts:\n  qwen:\n    {}"]))
def test_any_text_is_settings_or_a_refusal(tmp_path, text, place):
    loads_or_refuses(tmp_path / "any.yaml", place.replace("{}", text))


real_keys = st.sampled_from([*QwenTTSConfig.model_fields, "top_p", "headers", "timeouts", "job"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
keys = real_keys | st.text() | st.integers() | st.booleans() | st.none() | st.floats()
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(real_keys | keys, trees, max_size=4))
def test_any_tree_is_settings_or_a_refusal(tmp_path, tree):
    text = yaml.safe_dump({"tts": {"qwen": tree}}, allow_unicode=True)
    loads_or_refuses(tmp_path / "any.yaml", text)


@given(st.text(), st.text())
def test_any_variable_is_a_setting_or_a_refusal(name, text):
    loaded = refusal = None
    try:
        loaded = load_config(environ={f"STORYCORE_TTS_{name}": text})
    except ConfigurationError as error:
        refusal = error
    named = f"STORYCORE_TTS_{name}"
    assert named in str(refusal) or f"environment variable {named}" in loaded.sources.values()


TAKEN = (
    "http://127.0.0.1:8188", "http://localhost", "https://comfy.example.org:443/a/b",
    "http://[::1]:8188", "http://gpu_box-2:8188", "http://bücher.example", "http://10.0.0.5:65535",
)  # fmt: skip
NO_ADDRESSES = (
    "", "127.0.0.1:8188", "localhost", "ftp://h", "ws://h", "http://", "http:///path",
    "http://:8188", "http://h:0", "http://h:65536", "http://h:x", "http://h:-1",
    "http://user:secret@h", "http://user@h", "http://@h", "http://h?a=1", "http://h?",
    "http://h/#top", "http://h#", "http://h h", " http://h", "http://h\n", "http://h\x00",
    "http://[::1", "http://[v1.a]", "http://[1.2.3.4]", "http://1.2.3.999", "http://1.2.3",
    "http://a..ä", "http://·", "http://a\\b", "http://a,b", "http://ex%41mple",
    "http://h/" + "a" * 70_000,
)  # fmt: skip


def test_addresses_of_servers_are_taken():
    for url in TAKEN:
        assert QwenTTSConfig(comfyui_url=url).comfyui_url == url
    assert QwenTTSConfig(comfyui_url="HTTPS://Host/X/y/").comfyui_url == "https://Host/X/y"


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_other_addresses_are_refused_with_an_example(url):
    with pytest.raises(ConfigurationError) as caught:
        QwenTTSConfig(comfyui_url=url)
    said = str(caught.value)
    assert caught.value.key == "comfyui_url"
    assert "such as http://127.0.0.1:8188" in said or "comfyui.headers" in said
    assert len(said) < 1000


hosts = st.text(st.sampled_from(list("abz019.-_:[]@%\\/?#äß·\u200d١ ")), max_size=12)


@given(
    st.text()
    | st.builds("http://{}".format, st.text() | hosts)
    | st.builds("http://{}:{}/{}".format, hosts, st.integers() | st.text(max_size=3), hosts)
)
@example("HTTP://h")
@example("http://h//")
def test_any_text_is_an_address_that_http_clients_take_or_a_refusal(url):
    try:
        taken = QwenTTSConfig(comfyui_url=url).comfyui_url
    except ConfigurationError:
        return
    assert taken.startswith(("http://", "https://"))
    assert not taken.endswith("/")
    assert urlsplit(taken).hostname
    assert httpx.URL(f"{taken}/prompt").path.endswith("/prompt")
    assert QwenTTSConfig(comfyui_url=taken).comfyui_url == taken
