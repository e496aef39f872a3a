"""Tiny checkpoints, loaded and run by the real qwen_tts on the CPU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storycore_tts.testing.tiny_models import (
    Kind,
    Size,
    TinyModels,
    build_tiny_models,
)

if find_spec("torch") is None or find_spec("qwen_tts") is None:
    pytest.skip(
        "torch or qwen_tts is missing: pip install torch and 'storycore-tts[direct]'",
        allow_module_level=True,
    )

# What the packages warn of at import and while they load is not our matter.
pytestmark = pytest.mark.filterwarnings("ignore")

ALL: list[tuple[Kind, Size]] = [
    ("base", "1.7B"),
    ("base", "0.6B"),
    ("custom_voice", "1.7B"),
    ("custom_voice", "0.6B"),
    ("voice_design", "1.7B"),
]
SAMPLES_PER_FRAME = 1920
SHORT = "Hello world"
LONGER = "A longer text, no?"
CAP = 160
"""Tokens; more than any text here needs."""

Load = Callable[..., Any]
Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def torch(tiny_torch: Any) -> Any:
    return tiny_torch


@pytest.fixture(scope="module")
def models(tiny_models: TinyModels) -> TinyModels:
    return tiny_models


@pytest.fixture(scope="module")
def load(torch: Any, models: TinyModels) -> Load:
    @lru_cache
    def load(kind: Kind, size: Size = "1.7B", dtype: str = "float32") -> Any:
        return load_from(models.path(kind, size), torch, dtype)

    return load


def load_from(folder: Path, torch: Any, dtype: str = "float32") -> Any:
    from qwen_tts import Qwen3TTSModel

    return Qwen3TTSModel.from_pretrained(
        str(folder), device_map="cpu", dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )


def seeded(generate: Callable[..., tuple[list[Audio], int]], seed: int = 0, **request: Any) -> Any:
    """The audio of a generation, or the list of them for a list of texts."""
    import torch

    torch.manual_seed(seed)
    audios, rate = generate(**{"max_new_tokens": CAP, "language": "English", **request})
    assert rate == 24_000
    return audios if isinstance(request["text"], list) else audios[0]


def frames(audio: Audio) -> float:
    return len(audio) / SAMPLES_PER_FRAME


def expected_frames(model: Any, text: str) -> int:
    ids = model.processor(text=f"<|im_start|>assistant\n{text}")["input_ids"][0]
    return 2 * (len(ids) - 4) + 2  # without the role's 3 tokens and the mark


def reference(hertz: float = 220.0, seconds: float = 2.0) -> tuple[Audio, int]:
    times = np.arange(int(24_000 * seconds)) / 24_000
    noise = np.random.default_rng(0).normal(0, 0.02, len(times))
    return (0.3 * np.sin(2 * np.pi * hertz * times) + noise).astype(np.float32), 24_000


def speak(model: Any, **request: Any) -> Any:
    """In whatever way the model's kind speaks."""
    match model.model.tts_model_type:
        case "custom_voice":
            return seeded(model.generate_custom_voice, **{"speaker": "ryan", **request})
        case "voice_design":
            return seeded(model.generate_voice_design, **{"instruct": "a calm man", **request})
        case _:
            clone = {"ref_audio": reference(), "ref_text": "This is the reference."}
            return seeded(model.generate_voice_clone, **{**clone, **request})


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(("kind", "size"), ALL)
def test_each_kind_loads_and_is_heard(load: Load, kind: Kind, size: Size) -> None:
    model = load(kind, size)
    audio = speak(model, text=SHORT)

    assert model.model.tts_model_size == {"0.6B": "0b6", "1.7B": "1b7"}[size]
    assert len(model.get_supported_speakers() or ()) == (9 if kind == "custom_voice" else 0)
    assert frames(audio) == pytest.approx(expected_frames(model, SHORT), abs=1)
    assert 0.05 < np.abs(audio).max() <= 1.0
    assert np.mean(np.abs(audio) > 0.999) < 0.01, "clipped"


def test_the_codec_alone_encodes_and_decodes(torch: Any, models: TinyModels) -> None:
    from qwen_tts import Qwen3TTSTokenizer

    codec = Qwen3TTSTokenizer.from_pretrained(str(models.path("tokenizer")), device_map="cpu")
    samples, rate = reference(seconds=1.0)
    encoded = codec.encode(samples, sr=rate)
    decoded, _ = codec.decode(encoded)

    assert tuple(encoded.audio_codes[0].shape) == (13, 16)
    assert len(encoded.audio_codes[0].unique()) > 10
    assert frames(decoded[0]) == 13


@pytest.mark.parametrize("text", ["Hi", "你好"])
def test_length_follows_the_text(load: Load, text: str) -> None:
    model = load("custom_voice")

    assert frames(speak(model, text=text)) == pytest.approx(expected_frames(model, text), abs=1)


@pytest.mark.parametrize(
    "change",
    [
        {"instruct": "very angry indeed, and in a great hurry to be gone before the night"},
        {"speaker": "dylan", "language": "Chinese"},
        {"language": "Auto"},
        {"non_streaming_mode": False},
        {"seed": 5},
    ],
)
def test_nothing_but_the_text_changes_the_length(load: Load, change: dict[str, Any]) -> None:
    model = load("custom_voice")
    audio = speak(model, text=SHORT, **change)

    assert frames(audio) == pytest.approx(expected_frames(model, SHORT), abs=1)


@pytest.mark.parametrize("kind", ["custom_voice", "base"])
def test_in_a_batch_each_is_as_long_as_alone(load: Load, kind: Kind) -> None:
    model = load(kind)
    texts = [LONGER, "Hi", SHORT]
    expected = [expected_frames(model, text) for text in texts]

    assert [frames(audio) for audio in speak(model, text=texts)] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("seconds", "transcript", "streaming"),
    [
        (1.0, "Short one.", True),
        (4.0, "Hi.", True),
        (2.0, "This is the reference, which is longer.", True),
        (2.0, "This is the reference, which is longer.", False),
    ],
)
def test_a_reference_with_its_transcript_is_not_counted(
    load: Load, seconds: float, transcript: str, streaming: bool
) -> None:
    model = load("base")
    audio = speak(
        model,
        text=SHORT,
        ref_audio=reference(seconds=seconds),
        ref_text=transcript,
        non_streaming_mode=not streaming,
    )

    assert frames(audio) == pytest.approx(expected_frames(model, SHORT), abs=2)


def test_cloning_by_the_speaker_embedding_alone(load: Load) -> None:
    model = load("base")
    low, high = (
        speak(model, text=SHORT, ref_audio=reference(hertz), x_vector_only_mode=True)
        for hertz in (220.0, 880.0)
    )

    assert frames(low) == pytest.approx(expected_frames(model, SHORT), abs=1)
    assert not same(low, high), "another reference, another voice"


def test_voices_seeds_and_descriptions_are_heard(load: Load) -> None:
    custom, designed = load("custom_voice"), load("voice_design")
    ryan = speak(custom, text="Hi")

    assert same(ryan, speak(custom, text="Hi"))
    assert not same(ryan, speak(custom, text="Hi", speaker="vivian"))
    assert not same(ryan, speak(custom, text="Hi", seed=1))
    assert not same(ryan, speak(custom, text="Hi", instruct="Whisper."))
    assert not same(
        speak(designed, text="Hi", instruct="a calm old man"),
        speak(designed, text="Hi", instruct="a loud young man"),
    )


def same(one: Audio, other: Audio) -> bool:
    return len(one) == len(other) and bool(np.allclose(one, other, atol=1e-3))


@pytest.mark.parametrize("kind", ["custom_voice", "base"])
def test_bf16(load: Load, kind: Kind) -> None:
    model = load(kind, dtype="bfloat16")
    audio = speak(model, text=SHORT)

    assert frames(audio) == pytest.approx(expected_frames(model, SHORT), abs=3)
    assert np.abs(audio).max() > 0.05


def test_without_an_end_every_budget_is_used_up(
    torch: Any, endless_tiny_models: TinyModels
) -> None:
    for kind in ("custom_voice", "base"):
        model = load_from(endless_tiny_models.path(kind), torch)
        audio = speak(model, text="Hi", max_new_tokens=30, temperature=2.0, top_k=0)
        assert frames(audio) == 29


def test_a_fine_tuned_checkpoint_speaks(torch: Any, models: TinyModels, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    base = load_from(models.path("base"), torch)
    voice = base.create_voice_clone_prompt(reference(), x_vector_only_mode=True)[0]
    tuned = tmp_path / "tuned"
    shutil.copytree(models.path("base"), tuned)
    config = json.loads((tuned / "config.json").read_text(encoding="utf-8"))
    config["tts_model_type"] = "custom_voice"
    config["talker_config"] |= {"spk_id": {"anna": 3000}, "spk_is_dialect": {"anna": False}}
    (tuned / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = load_file(tuned / "model.safetensors")
    weights = {name: w for name, w in weights.items() if not name.startswith("speaker_encoder")}
    weights["talker.model.codec_embedding.weight"][3000] = voice.ref_spk_embedding
    save_file(weights, tuned / "model.safetensors", metadata={"format": "pt"})

    model = load_from(tuned, torch)
    audio = speak(model, text=SHORT, speaker="Anna")

    assert list(model.get_supported_speakers()) == ["anna"]
    assert frames(audio) == pytest.approx(expected_frames(model, SHORT), abs=1)


@pytest.mark.soak
def test_larger_models_count_too(torch: Any, tmp_path: Path) -> None:
    models = build_tiny_models(tmp_path, hidden_size=256, layers=4)
    for kind in ("custom_voice", "base"):
        model = load_from(models.path(kind), torch)
        audio = speak(model, text="Hi there")
        assert frames(audio) == pytest.approx(expected_frames(model, "Hi there"), abs=2)


def test_each_is_small(models: TinyModels) -> None:
    for kind, size in [*ALL, ("tokenizer", "1.7B")]:
        total = sum(len(data) for data in contents(models.path(kind, size)).values())
        assert total < 4e6, kind


def test_the_same_seed_builds_the_same_bytes(
    torch: Any, models: TinyModels, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    again = build_tiny_models(tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), state)
    assert contents(again.folder) == contents(models.folder)


def test_what_is_there_is_kept_and_other_options_replace_it(
    models: TinyModels, tmp_path: Path
) -> None:
    models = TinyModels(Path(shutil.copytree(models.folder, tmp_path, dirs_exist_ok=True)))
    weights = models.path("base") / "model.safetensors"
    built, before = weights.stat(), weights.read_bytes()

    build_tiny_models(tmp_path)
    assert weights.stat().st_mtime_ns == built.st_mtime_ns
    assert weights.stat().st_ino == built.st_ino

    build_tiny_models(tmp_path, seed=1)
    assert weights.read_bytes() != before
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in (*(models.path(*each) for each in ALL), models.path("tokenizer"))
    }, "and nothing else is left lying about"


def test_a_full_disk_leaves_no_half_checkpoint(
    models: TinyModels, torch: Any, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    from safetensors import SafetensorError

    shutil.copytree(models.folder, tmp_path, dirs_exist_ok=True)
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


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "Qwen3-TTS-12Hz-1.7B-Base"
    precious.mkdir()
    (precious / "model.safetensors").write_bytes(b"4 GB")

    with pytest.raises(FileExistsError, match="no tiny model"):
        build_tiny_models(tmp_path)
    assert contents(tmp_path) == {"Qwen3-TTS-12Hz-1.7B-Base/model.safetensors": b"4 GB"}


def test_what_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there are: base 1\.7B"):
        TinyModels(tmp_path).path("voice_design", "0.6B")
    with pytest.raises(ValueError, match="hidden_size=40"):
        build_tiny_models(tmp_path, hidden_size=40)
    with pytest.raises(ValueError, match="layers=1"):
        build_tiny_models(tmp_path, layers=1)
