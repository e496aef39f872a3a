"""From a folder of recordings to a voice that speaks under its name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="fine-tuning needs storycore-tts[direct]")

from storycore_tts.adapters.direct.training import TrainingCancelled, check_dataset  # noqa: E402
from storycore_tts.domain.errors import (  # noqa: E402
    BackendUnavailable,
    GenerationFailed,
    InvalidRequest,
    OutOfMemory,
)
from storycore_tts.domain.progress import Progress, Stage  # noqa: E402
from storycore_tts.domain.requests import TrainingRequest  # noqa: E402
from storycore_tts.domain.speech import TrainedVoice  # noqa: E402
from storycore_tts.testing.contract import check_progress  # noqa: E402

from .conftest import WORDS, tone  # noqa: E402


def train(request: TrainingRequest, models: Any, **changes: Any) -> TrainedVoice:
    from storycore_tts.adapters.direct.training import train

    values: dict[str, Any] = {
        "base_model": models.path("base"),
        "tokenizer": None,
        "device": "cpu",
        "dtype": torch.float32,
        "on_progress": lambda _: None,
        "cancelled": lambda: False,
    }
    return train(request, **(values | changes))


def folders(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir())


def weights(checkpoint: str | Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(Path(checkpoint) / "model.safetensors")


@pytest.fixture(scope="module")
def spoken(models) -> Any:
    """Say a line with a checkpoint, through the package itself."""
    from qwen_tts import Qwen3TTSModel

    def speak(checkpoint: str, speaker: str) -> np.ndarray:
        tts = Qwen3TTSModel.from_pretrained(checkpoint, device_map="cpu", dtype=torch.float32)
        torch.manual_seed(0)
        sounds, rate = tts.generate_custom_voice(
            text="Yes.", speaker=speaker, language="English", max_new_tokens=64
        )
        assert rate == 24_000
        return sounds[0]

    return speak


@pytest.mark.parametrize("size", ["1.7B", pytest.param("0.6B", marks=pytest.mark.soak)])
def test_the_loss_falls_and_the_checkpoint_speaks_under_its_name(
    models, request_for, spoken, tmp_path: Path, size: str
) -> None:
    heard: list[Progress] = []
    request = request_for(num_epochs=4, learning_rate=5e-4)
    voice = train(request, models, base_model=models.path("base", size), on_progress=heard.append)
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
    assert [p.step for p in told] == list(range(1, 17))
    assert [p.epoch for p in told] == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert {p.total_steps for p in told} == {16}
    assert all(p.loss is not None and p.message.endswith(" left") for p in told)
    loading = list(dict.fromkeys(p.message for p in heard if p.stage is Stage.LOADING))
    name = models.path("base", size).name
    assert loading == ["reading the dataset", "encoding 4 recordings", f"loading {name}"]


def test_a_checkpoint_has_the_form_of_upstreams(models, request_for) -> None:
    from safetensors import safe_open

    voice = train(request_for(num_epochs=1), models)
    folder = Path(voice.checkpoint_path)
    config = json.loads((folder / "config.json").read_text())
    assert config["tts_model_type"] == "custom_voice"
    assert config["talker_config"]["spk_id"] == {"hero": 3000}
    assert config["talker_config"]["spk_is_dialect"] == {"hero": False}
    base, own = weights(models.path("base")), weights(folder)
    assert own.keys() == {name for name in base if not name.startswith("speaker_encoder.")}
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    from qwen_tts import Qwen3TTSModel

    model = Qwen3TTSModel.from_pretrained(str(models.path("base")), device_map="cpu").model
    samples, _ = soundfile.read(check_dataset(Path(folder.parents[1], "dataset")).reference)
    embedding = model.extract_speaker_embedding(samples.astype(np.float32), 24_000)
    table = own["talker.model.codec_embedding.weight"]
    assert torch.allclose(table[3000], embedding, atol=1e-6)
    sample, rate = soundfile.read(folder / "validation.wav")
    assert rate == 24_000
    assert len(sample) >= 1920
    assert json.loads((folder / "training.json").read_text())["losses"] == list(voice.loss_history)


def test_what_was_done_is_not_done_again_and_another_trainings_folder_is_left_alone(
    models, request_for, dataset: Path, tmp_path: Path
) -> None:
    (dataset / "orphan.txt").write_text("Nobody says this.")
    request = request_for(num_epochs=1)
    voice = train(request, models)
    assert voice.warnings == ("orphan.txt: no recording belongs to this transcript",)
    heard: list[Progress] = []
    assert train(request, models, on_progress=heard.append) == voice
    assert not any(p.message.startswith(("encoding", "loading")) for p in heard)
    assert heard[-1].epoch == 1

    before = weights(voice.checkpoint_path)
    with pytest.raises(InvalidRequest, match=r"another training: .*learning_rate was 0\.0001"):
        train(request_for(num_epochs=1, learning_rate=1e-5), models)
    with pytest.raises(InvalidRequest, match="speaker_name was 'hero' and is 'other'"):
        train(request_for(num_epochs=1, speaker_name="Other"), models)
    after = weights(voice.checkpoint_path)
    assert all(torch.equal(before[name], after[name]) for name in before)

    (tmp_path / "out" / "checkpoint-epoch-0" / "training.json").unlink()
    with pytest.raises(InvalidRequest, match=r"has no readable training\.json"):
        train(request_for(num_epochs=1), models)


def test_fewer_batches_than_a_weight_update_wants_still_learn(models, request_for) -> None:
    voice = train(
        request_for(num_epochs=1, gradient_accumulation_steps=64),
        models,
        tokenizer=models.path("tokenizer"),  # it may lie elsewhere
    )
    base, own = weights(models.path("base")), weights(voice.checkpoint_path)
    name = "talker.codec_head.weight"
    assert not torch.equal(base[name], own[name])


def test_cancelled_between_steps_and_gone_on_with(models, request_for, tmp_path: Path) -> None:
    request = request_for(num_epochs=3)
    steps = 0

    def count(progress: Progress) -> None:
        nonlocal steps
        steps += progress.loss is not None and not progress.message.startswith("saving")

    with pytest.raises(TrainingCancelled):
        train(request, models, on_progress=count, cancelled=lambda: steps == 6)
    assert steps == 6
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]

    voice = train(request, models, on_progress=count)
    assert steps == 6 + 8  # the second and the third epoch
    assert folders(tmp_path / "out") == ["checkpoint-epoch-1", "checkpoint-epoch-2"]

    whole = train(request_for(num_epochs=3, output_dir=str(tmp_path / "whole")), models)
    assert voice.loss_history == pytest.approx(whole.loss_history, rel=1e-4)


def test_cancelled_before_anything_is_loaded(models, request_for, tmp_path: Path) -> None:
    with pytest.raises(TrainingCancelled):
        train(request_for(), models, cancelled=lambda: True)
    assert not (tmp_path / "out").exists()


def test_a_cancelled_sample_leaves_no_half_checkpoint(models, request_for, tmp_path: Path) -> None:
    saving = False

    def listen(progress: Progress) -> None:
        nonlocal saving
        saving = progress.message == "saving epoch 2"

    with pytest.raises(TrainingCancelled):
        train(request_for(), models, on_progress=listen, cancelled=lambda: saving)
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]


def test_a_listener_that_raises_ends_the_training(models, request_for) -> None:
    def listen(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(request_for(), models, on_progress=listen)


def test_a_jsonl_file_at_48_khz_in_stereo(models, request_for, tmp_path: Path) -> None:
    from storycore_tts.adapters.direct.training import features

    loud = tone(1.2, pitch=300, sample_rate=48_000)
    soundfile.write(tmp_path / "a.wav", np.stack([loud, loud / 2], axis=1), 48_000)
    (tmp_path / "a.jsonl").write_text(json.dumps({"audio": "a.wav", "text": WORDS[0]}))
    samples = features.recording(tmp_path / "a.wav")
    assert samples.dtype == np.float32
    assert len(samples) == int(1.2 * 24_000)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * 24_000 / len(samples) == pytest.approx(300, abs=1)
    voice = train(request_for(dataset=str(tmp_path / "a.jsonl"), num_epochs=1), models)
    assert len(voice.loss_history) == 1


def test_only_a_base_model_can_be_trained(models, request_for, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is a custom_voice model"):
        train(request_for(), models, base_model=models.path("custom_voice"))
    with pytest.raises(InvalidRequest, match=r"holds no Qwen3-TTS model: .*No such file"):
        train(request_for(), models, base_model=tmp_path / "nowhere")


def test_what_the_samples_could_not_say_is_refused_at_once(models, request_for) -> None:
    heard: list[Progress] = []
    with pytest.raises(InvalidRequest, match="too long for one generation"):
        train(request_for(test_text="word " * 3000), models, on_progress=heard.append)
    assert heard == []


def test_half_precision(models, request_for) -> None:
    voice = train(request_for(num_epochs=2, learning_rate=1e-3), models, dtype=torch.bfloat16)
    assert voice.loss_history[1] < voice.loss_history[0]
    assert {tensor.dtype for tensor in weights(voice.checkpoint_path).values()} == {torch.bfloat16}


def test_a_built_in_voices_name_is_refused(models, request_for) -> None:
    with pytest.raises(InvalidRequest, match="'Uncle Fu' is the name of a built-in voice"):
        train(request_for(speaker_name="Uncle Fu"), models)


@pytest.mark.skipif(sys.platform != "linux", reason="takes a folder that refuses root, too")
def test_an_output_folder_that_takes_nothing_is_refused_at_once(models, request_for) -> None:
    heard: list[Progress] = []
    with pytest.raises(InvalidRequest, match="Cannot write to the output folder"):
        train(request_for(output_dir="/proc/self"), models, on_progress=heard.append)
    assert [news.message for news in heard] == ["reading the dataset"]


def test_checkpoints_within_the_base_model_are_refused(models, request_for) -> None:
    with pytest.raises(InvalidRequest, match="lies within the base model's"):
        train(request_for(output_dir=str(models.path("base") / "mine")), models)


def test_a_training_that_comes_apart_says_so(models, request_for, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import save_file

    broken = Path(shutil.copytree(models.path("base"), tmp_path / "broken"))
    tensors = weights(broken)
    tensors["talker.codec_head.weight"][:] = torch.nan
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GenerationFailed, match="came apart in epoch 1: its loss is nan"):
        train(request_for(), models, base_model=broken)


@pytest.mark.parametrize("file", ["model.safetensors", "speech_tokenizer/model.safetensors"])
def test_a_damaged_base_model_is_named(models, request_for, tmp_path: Path, file: str) -> None:
    """A download that was cut off, for instance."""
    import shutil

    cut = Path(shutil.copytree(models.path("base"), tmp_path / "cut"))
    whole = (cut / file).read_bytes()
    (cut / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackendUnavailable, match="Is the download complete"):
        train(request_for(), models, base_model=cut)


def test_too_little_memory_says_what_to_do(models, request_for) -> None:
    def greedy(progress: Progress) -> None:
        if progress.step == 1:
            torch.empty(2**60)

    with pytest.raises(OutOfMemory, match="too little memory") as refused:
        train(request_for(batch_size=2), models, on_progress=greedy)
    assert "batch_size (now 2)" in str(refused.value)
    assert "0.6B" in str(refused.value)
