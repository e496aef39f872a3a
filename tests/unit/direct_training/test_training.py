"""From a folder of recordings to a voice that speaks under its name."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts.adapters.direct.training import TrainingCancelled
from storycore_tts.domain.progress import Stage
from storycore_tts.errors import (
    BackendUnavailable,
    GenerationFailed,
    InvalidRequest,
    OutOfMemory,
)
from storycore_tts.testing.contract import check_progress

from .conftest import WORDS, folders, tone

torch = pytest.importorskip("torch", reason="fine-tuning needs storycore-tts[direct]")


def weights(checkpoint):
    from safetensors.torch import load_file

    return load_file(Path(checkpoint) / "model.safetensors")


def spoken(checkpoint, speaker):
    """Say a line with a checkpoint, through the package itself."""
    from qwen_tts import Qwen3TTSModel

    tts = Qwen3TTSModel.from_pretrained(checkpoint, device_map="cpu", dtype=torch.float32)
    torch.manual_seed(0)
    sounds, rate = tts.generate_custom_voice(
        text="Yes.", speaker=speaker, language="English", max_new_tokens=64
    )
    assert rate == 24_000
    return sounds[0]


@pytest.mark.parametrize("size", ["1.7B", pytest.param("0.6B", marks=pytest.mark.soak)])
def test_the_loss_falls_and_the_checkpoint_speaks_under_its_name(
    tiny_models, train, tmp_path, size
):
    heard, base = [], tiny_models.path("base", size)
    how = {"base_model": base, "on_progress": heard.append}
    voice = train(how, num_epochs=4, learning_rate=5e-4)
    assert len(voice.loss_history) == voice.epochs == 4
    assert voice.loss_history[-1] < 0.9 * voice.loss_history[0]
    assert voice.speaker_name == "Hero"
    assert folders(tmp_path / "out") == ["checkpoint-epoch-1", "checkpoint-epoch-3"]
    assert voice.checkpoint_path == str(tmp_path / "out" / "checkpoint-epoch-3")

    first = spoken(voice.checkpoint_path, "hero")
    assert np.abs(first).max() > 0.01
    np.testing.assert_array_equal(first, spoken(voice.checkpoint_path, "HERO"))

    check_progress(heard)
    told = [p for p in heard if p.stage is Stage.TRAINING and not p.message.startswith("saving")]
    steps = [(epoch, 4 * epoch - 4 + batch) for epoch in (1, 2, 3, 4) for batch in (1, 2, 3, 4)]
    assert [(p.epoch, p.step, p.total_steps) for p in told] == [(*step, 16) for step in steps]
    assert all(p.loss is not None and p.message.endswith(" left") for p in told)
    loading = list(dict.fromkeys(p.message for p in heard if p.stage is Stage.LOADING))
    assert loading == ["reading the dataset", "encoding 4 recordings", f"loading {base.name}"]


def test_a_checkpoint_has_the_form_of_upstreams(tiny_models, train, dataset):
    from qwen_tts import Qwen3TTSModel
    from safetensors import safe_open

    voice = train(num_epochs=1)
    folder = Path(voice.checkpoint_path)
    config = json.loads((folder / "config.json").read_text())
    assert config["tts_model_type"] == "custom_voice"
    assert config["talker_config"]["spk_id"] == {"hero": 3000}
    assert config["talker_config"]["spk_is_dialect"] == {"hero": False}
    base, own = weights(tiny_models.path("base")), weights(folder)
    assert own.keys() == {name for name in base if not name.startswith("speaker_encoder.")}
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    tts = Qwen3TTSModel.from_pretrained(str(tiny_models.path("base")), device_map="cpu")
    samples, _ = soundfile.read(dataset / "line0.wav", dtype="float32")  # the reference
    embedding = tts.model.extract_speaker_embedding(samples, 24_000)
    table = own["talker.model.codec_embedding.weight"]
    assert torch.allclose(table[3000], embedding, atol=1e-6)
    sample, rate = soundfile.read(folder / "validation.wav")
    assert rate == 24_000
    assert len(sample) >= 1920
    assert json.loads((folder / "training.json").read_text())["losses"] == list(voice.loss_history)


def test_what_was_done_is_not_done_again_and_another_trainings_folder_is_left_alone(
    train, dataset, tmp_path
):
    (dataset / "orphan.txt").write_text("Nobody says this.")
    voice = train(num_epochs=1)
    assert voice.warnings == ("orphan.txt: there is no recording for this transcript",)
    heard = []
    assert train({"on_progress": heard.append}, num_epochs=1) == voice
    assert not any(p.message.startswith(("encoding", "loading")) for p in heard)
    assert heard[-1].epoch == 1

    before = weights(voice.checkpoint_path)
    with pytest.raises(InvalidRequest, match=r"another training: .*learning_rate was 0\.0001"):
        train(num_epochs=1, learning_rate=1e-5)
    with pytest.raises(InvalidRequest, match="speaker_name was 'hero' and is now 'other'"):
        train(num_epochs=1, speaker_name="Other")
    after = weights(voice.checkpoint_path)
    assert all(torch.equal(before[name], after[name]) for name in before)

    (tmp_path / "out" / "checkpoint-epoch-0" / "training.json").unlink()
    with pytest.raises(InvalidRequest, match=r"has no readable training\.json"):
        train(num_epochs=1)


def test_small_updates_in_half_precision_reach_every_weight(tiny_models, train, tmp_path):
    """Weights in bf16 would swallow most of them."""
    losses = []
    half = {"dtype": torch.bfloat16, "on_progress": lambda p: losses.append(p.loss or 0)}
    with pytest.raises(TrainingCancelled):
        train({**half, "cancelled": lambda: sum(map(bool, losses)) > 4}, learning_rate=2e-5)
    base = weights(tiny_models.path("base"))
    trained = weights(tmp_path / "out" / "training-state-epoch-0")
    names = [name for name in trained if name.startswith("talker.code_predictor.model.layers")]
    changed = [(trained[name] != base[name]).float().mean().item() for name in names]
    assert np.mean(changed) > 0.99


def test_a_checkpoint_has_the_precision_that_was_computed_in(train):
    own = weights(train({"dtype": torch.bfloat16}, num_epochs=1).checkpoint_path)
    assert {tensor.dtype for tensor in own.values()} == {torch.bfloat16}


def test_fewer_batches_than_a_weight_update_wants_still_learn(tiny_models, train):
    elsewhere = {"tokenizer": tiny_models.path("tokenizer")}
    voice = train(elsewhere, num_epochs=1, gradient_accumulation_steps=64)
    base, own = weights(tiny_models.path("base")), weights(voice.checkpoint_path)
    assert not torch.equal(base["talker.codec_head.weight"], own["talker.codec_head.weight"])


def test_cancelled_between_steps_and_gone_on_with(train, tmp_path):
    steps = []

    def count(progress):
        if progress.loss is not None and not progress.message.startswith("saving"):
            steps.append(progress)

    with pytest.raises(TrainingCancelled):
        train({"on_progress": count, "cancelled": lambda: len(steps) == 6})
    assert len(steps) == 6
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]

    voice = train({"on_progress": count})
    assert len(steps) == 6 + 8  # the second and the third epoch
    assert folders(tmp_path / "out") == ["checkpoint-epoch-1", "checkpoint-epoch-2"]

    whole = train(output_dir=str(tmp_path / "whole"))
    assert voice.loss_history == pytest.approx(whole.loss_history, rel=1e-4)


def test_cancelled_before_anything_is_loaded(train, tmp_path):
    with pytest.raises(TrainingCancelled):
        train({"cancelled": lambda: True})
    assert not (tmp_path / "out").exists()


def test_a_cancelled_sample_leaves_no_half_checkpoint(train, tmp_path):
    heard = []
    saving = lambda: bool(heard) and heard[-1].message == "saving epoch 2"  # noqa: E731
    with pytest.raises(TrainingCancelled):
        train({"on_progress": heard.append, "cancelled": saving})
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]


def test_what_a_listener_raises_ends_the_training(train):
    def listen(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train({"on_progress": listen})


def test_a_jsonl_file_at_48_khz_in_stereo(train, tmp_path):
    from storycore_tts.adapters.direct.training import features

    loud = tone(1.2, pitch=300, sample_rate=48_000)
    soundfile.write(tmp_path / "a.wav", np.stack([loud, loud / 2], axis=1), 48_000)
    (tmp_path / "a.jsonl").write_text(json.dumps({"audio": "a.wav", "text": WORDS[0]}))
    samples = features.recording(tmp_path / "a.wav")
    assert (samples.dtype, len(samples)) == (np.float32, int(1.2 * 24_000))
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * 24_000 / len(samples) == pytest.approx(300, abs=1)
    voice = train(dataset=str(tmp_path / "a.jsonl"), num_epochs=1)
    assert len(voice.loss_history) == 1


def test_half_precision(train):
    voice = train({"dtype": torch.bfloat16}, num_epochs=2, learning_rate=1e-3)
    assert voice.loss_history[1] < voice.loss_history[0]
    assert {tensor.dtype for tensor in weights(voice.checkpoint_path).values()} == {torch.bfloat16}


def test_only_a_base_model_can_be_trained(tiny_models, train, tmp_path):
    with pytest.raises(InvalidRequest, match="is a custom_voice model"):
        train({"base_model": tiny_models.path("custom_voice")})
    with pytest.raises(InvalidRequest, match=r"contains no Qwen3-TTS model: .*No such file"):
        train({"base_model": tmp_path / "nowhere"})


@pytest.mark.parametrize(
    ("request_", "told", "steps"),
    [
        ({"speaker_name": "Uncle Fu"}, "'Uncle Fu' is the name of a built-in voice", 0),
        ({"test_text": "word " * 3000}, "too long for one generation", 0),
        ({"output_dir": "{base}/mine"}, "is inside the base model's", 1),
        # a folder that refuses root, too
        pytest.param(
            {"output_dir": "/proc/self"},
            "Cannot write to the output folder",
            1,
            marks=pytest.mark.skipif(sys.platform != "linux", reason="has no /proc"),
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(tiny_models, train, request_, told, steps):
    heard, base = [], tiny_models.path("base")
    changes = {name: value.replace("{base}", str(base)) for name, value in request_.items()}
    with pytest.raises(InvalidRequest, match=told):
        train({"on_progress": heard.append}, **changes)
    assert [news.message for news in heard] == ["reading the dataset"] * steps


def test_a_training_that_comes_apart_says_so(tiny_models, train, tmp_path):
    from safetensors.torch import save_file

    broken = shutil.copytree(tiny_models.path("base"), tmp_path / "broken")
    tensors = weights(broken)
    tensors["talker.codec_head.weight"][:] = torch.nan
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GenerationFailed, match="diverged in epoch 1: the loss is nan"):
        train({"base_model": broken})


@pytest.mark.parametrize("file", ["model.safetensors", "speech_tokenizer/model.safetensors"])
def test_a_base_model_whose_download_was_cut_off_is_named(tiny_models, train, tmp_path, file):
    cut = shutil.copytree(tiny_models.path("base"), tmp_path / "cut")
    whole = (cut / file).read_bytes()
    (cut / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackendUnavailable, match="Check that the download is complete"):
        train({"base_model": cut})


def test_too_little_memory_says_what_to_do(train):
    def greedy(progress):
        if progress.step == 1:
            torch.empty(2**60)

    with pytest.raises(OutOfMemory, match="too little memory") as refused:
        train({"on_progress": greedy}, batch_size=2)
    assert "batch_size (now 2)" in str(refused.value)
    assert "0.6B" in str(refused.value)
