"""Tiny checkpoints, loaded and run by the real qwen_tts on the CPU."""

import shutil
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import pytest

from storycore_tts.testing.tiny_models import TinyModels, build_tiny_models

if find_spec("torch") is None or find_spec("qwen_tts") is None:
    pytest.skip(
        "torch or qwen_tts is missing: pip install torch and 'storycore-tts[direct]'",
        allow_module_level=True,
    )

# What the packages warn of at import and while they load is not our matter.
pytestmark = pytest.mark.filterwarnings("ignore")

ALL = [
    *(("base", "1.7B"), ("base", "0.6B"), ("voice_design", "1.7B")),
    *(("custom_voice", "1.7B"), ("custom_voice", "0.6B")),
]
SAMPLES_PER_FRAME = 1920
SHORT = "Hello world"
LONGER = "A longer text, no?"
CAP = 160
"""Tokens; more than any text here needs."""


@pytest.fixture(scope="module")
def load(tiny_torch, tiny_models):
    return lru_cache(
        lambda kind, size="1.7B", dtype="float32": load_from(tiny_models.path(kind, size), dtype)
    )


def load_from(folder, dtype="float32"):
    import torch
    from qwen_tts import Qwen3TTSModel

    return Qwen3TTSModel.from_pretrained(
        str(folder), device_map="cpu", dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )


def seeded(generate, seed=0, **request):
    """The audio of a generation, or the list of them for a list of texts."""
    import torch

    torch.manual_seed(seed)
    audios, rate = generate(**{"max_new_tokens": CAP, "language": "English", **request})
    assert rate == 24_000
    return audios if isinstance(request["text"], list) else audios[0]


def frames(audio):
    return len(audio) / SAMPLES_PER_FRAME


def expected_frames(model, text):
    ids = model.processor(text=f"<|im_start|>assistant\n{text}")["input_ids"][0]
    return 2 * (len(ids) - 4) + 2  # without the role's 3 tokens and the mark


def as_long_as(model, text, within=1):
    return pytest.approx(expected_frames(model, text), abs=within)


def reference(hertz=220.0, seconds=2.0):
    times = np.arange(int(24_000 * seconds)) / 24_000
    noise = np.random.default_rng(0).normal(0, 0.02, len(times))
    return (0.3 * np.sin(2 * np.pi * hertz * times) + noise).astype(np.float32), 24_000


def speak(model, text=SHORT, **request):
    """In whatever way the model's kind speaks."""
    request["text"] = text
    match model.model.tts_model_type:
        case "custom_voice":
            return seeded(model.generate_custom_voice, **{"speaker": "ryan", **request})
        case "voice_design":
            return seeded(model.generate_voice_design, **{"instruct": "a calm man", **request})
        case _:
            clone = {"ref_audio": reference(), "ref_text": "This is the reference."}
            return seeded(model.generate_voice_clone, **{**clone, **request})


def same(one, other):
    return len(one) == len(other) and bool(np.allclose(one, other, atol=1e-3))


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(("kind", "size"), ALL)
def test_each_kind_loads_and_is_heard(load, tiny_models, kind, size):
    model = load(kind, size)
    audio = speak(model)

    assert model.model.tts_model_size == {"0.6B": "0b6", "1.7B": "1b7"}[size]
    assert len(model.get_supported_speakers() or ()) == (9 if kind == "custom_voice" else 0)
    assert frames(audio) == as_long_as(model, SHORT)
    assert 0.05 < np.abs(audio).max() <= 1.0
    assert np.mean(np.abs(audio) > 0.999) < 0.01, "clipped"
    assert sum(map(len, contents(tiny_models.path(kind, size)).values())) < 4e6


def test_the_codec_alone_encodes_and_decodes(tiny_torch, tiny_models):
    from qwen_tts import Qwen3TTSTokenizer

    codec = Qwen3TTSTokenizer.from_pretrained(str(tiny_models.path("tokenizer")), device_map="cpu")
    samples, rate = reference(seconds=1.0)
    encoded = codec.encode(samples, sr=rate)
    decoded, _ = codec.decode(encoded)

    assert tuple(encoded.audio_codes[0].shape) == (13, 16)
    assert len(encoded.audio_codes[0].unique()) > 10
    assert frames(decoded[0]) == 13


@pytest.mark.parametrize("kind", ["custom_voice", "base"])
def test_the_length_follows_the_text_in_a_batch_too(load, kind):
    model, texts = load(kind), [LONGER, "Hi", SHORT, "你好"]
    for text, audio in zip(texts, speak(model, texts), strict=True):
        assert frames(audio) == as_long_as(model, text)


@pytest.mark.parametrize(
    "change",
    [
        {"instruct": "very angry indeed, and in a great hurry to be gone before the night"},
        {"speaker": "dylan", "language": "Chinese"},
        {"language": "Auto", "non_streaming_mode": False, "seed": 5},
    ],
)
def test_nothing_but_the_text_changes_the_length(load, change):
    model = load("custom_voice")
    assert frames(speak(model, **change)) == as_long_as(model, SHORT)


@pytest.mark.parametrize(
    ("seconds", "transcript", "streaming"),
    [
        (4.0, "Hi.", True),
        (2.0, "This is the reference, which is longer.", True),
        (2.0, "This is the reference, which is longer.", False),
    ],
)
def test_a_reference_with_its_transcript_is_not_counted(load, seconds, transcript, streaming):
    model, sound = load("base"), reference(seconds=seconds)
    audio = speak(model, ref_audio=sound, ref_text=transcript, non_streaming_mode=not streaming)
    assert frames(audio) == as_long_as(model, SHORT, within=2)


def test_cloning_by_the_speaker_embedding_alone(load):
    model = load("base")
    low, high = (
        speak(model, ref_audio=reference(hertz), x_vector_only_mode=True) for hertz in (220.0, 880)
    )
    assert frames(low) == as_long_as(model, SHORT)
    assert not same(low, high), "another reference, another voice"


def test_voices_seeds_and_descriptions_are_heard(load):
    custom, designed = load("custom_voice"), load("voice_design")
    ryan = speak(custom, "Hi")

    assert same(ryan, speak(custom, "Hi"))
    for change in ({"speaker": "vivian"}, {"seed": 1}, {"instruct": "Whisper."}):
        assert not same(ryan, speak(custom, "Hi", **change)), change
    old, young = (
        speak(designed, "Hi", instruct=who) for who in ("a calm old man", "a loud young man")
    )
    assert not same(old, young)


@pytest.mark.parametrize("kind", ["custom_voice", "base"])
def test_bf16(load, kind):
    model = load(kind, dtype="bfloat16")
    audio = speak(model)
    assert frames(audio) == as_long_as(model, SHORT, within=3)
    assert np.abs(audio).max() > 0.05


@pytest.mark.parametrize("kind", ["custom_voice", "base"])
def test_without_an_end_every_budget_is_used_up(endless_tiny_models, kind):
    model = load_from(endless_tiny_models.path(kind))
    audio = speak(model, "Hi", max_new_tokens=30, temperature=2.0, top_k=0)
    assert frames(audio) == 29


@pytest.mark.soak
def test_larger_models_count_too(tiny_torch, tmp_path):
    models = build_tiny_models(tmp_path, hidden_size=256, layers=4)
    for kind in ("custom_voice", "base"):
        model = load_from(models.path(kind))
        assert frames(speak(model, "Hi there")) == as_long_as(model, "Hi there", within=2)


def test_the_same_seed_builds_the_same_bytes_and_another_one_replaces_them(
    tiny_torch, tiny_models, tmp_path
):
    tiny_torch.manual_seed(1)
    state = tiny_torch.get_rng_state()
    build_tiny_models(tmp_path)
    assert tiny_torch.equal(tiny_torch.get_rng_state(), state)
    whole = contents(tmp_path)
    assert whole == contents(tiny_models.folder)

    built = {path: path.stat() for path in tmp_path.rglob("*")}
    build_tiny_models(tmp_path)
    now = {path: path.stat() for path in tmp_path.rglob("*")}
    assert [(at.st_ino, at.st_mtime_ns) for at in built.values()] == [
        (at.st_ino, at.st_mtime_ns) for at in now.values()
    ], "what is there is kept"

    build_tiny_models(tmp_path, seed=1)
    other = contents(tmp_path)
    assert other.keys() == whole.keys(), "and nothing else is left lying about"
    name = "Qwen3-TTS-12Hz-1.7B-Base/model.safetensors"
    assert other[name] != whole[name]


def test_a_full_disk_leaves_no_half_checkpoint(tiny_torch, tiny_models, tmp_path):
    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    from safetensors import SafetensorError

    shutil.copytree(tiny_models.folder, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(TinyModels(tmp_path).path("base"))
    whole = contents(tmp_path)
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, hard))
    try:
        with pytest.raises((OSError, SafetensorError, RuntimeError)):
            build_tiny_models(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert contents(tmp_path) == whole


def test_a_foreign_folder_is_left_alone_and_what_cannot_be_built_is_refused(tmp_path):
    precious = TinyModels(tmp_path).path("base")
    precious.mkdir()
    (precious / "model.safetensors").write_bytes(b"4 GB")
    with pytest.raises(FileExistsError, match="not a tiny model"):
        build_tiny_models(tmp_path)
    with pytest.raises(ValueError, match=r"there are: base 1\.7B"):
        TinyModels(tmp_path).path("voice_design", "0.6B")
    for shape in ({"hidden_size": 40}, {"layers": 1}):
        with pytest.raises(ValueError, match=r"hidden_size=40|layers=1"):
            build_tiny_models(tmp_path, **shape)
    assert contents(tmp_path) == {"Qwen3-TTS-12Hz-1.7B-Base/model.safetensors": b"4 GB"}
