"""How long trainings take: measured, noted, and never guessed."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest
import soundfile

from storycore_tts import InvalidDataset, QwenTTSConfig, StorageFailed, TrainingRequest, open_tts
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.services.training_times import (
    DatasetSize,
    StepClock,
    TrainingPace,
    TrainingTimes,
    dataset_size,
)

REQUEST = TrainingRequest("/data", "/out", "mia", num_epochs=10, batch_size=2)
HERE = "comfyui at http://here:8188"


def pace(**values):
    usual = {"machine": HERE, "model_choice": "1.7B", "batch_size": 2}
    return TrainingPace(**{**usual, "steps": 100, "seconds": 50.0, "clip_seconds": None, **values})


@pytest.fixture
def times(tmp_path):
    return TrainingTimes(tmp_path / "below" / "trainings.jsonl")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    for number, seconds in enumerate([1.0, 2.0, 3.0]):
        soundfile.write(folder / f"{number}.wav", np.zeros(int(8000 * seconds)), 8000)
        (folder / f"{number}.txt").write_text("Words.")
    soundfile.write(folder / "without_words.wav", np.zeros(8000), 8000)
    return folder


def test_a_dataset_is_looked_at(folder):
    assert dataset_size(folder) == DatasetSize(3, 6.0)
    listed = folder / "some.jsonl"
    listed.write_text("\n".join(json.dumps({"audio": f"{n}.wav", "text": "x"}) for n in (0, 2)))
    assert dataset_size(listed) == DatasetSize(2, 4.0)


def test_a_dataset_that_is_elsewhere_or_damaged_is_refused(tmp_path, folder):
    with pytest.raises(InvalidDataset, match="nowhere"):
        dataset_size(tmp_path / "nowhere")
    (folder / "1.wav").write_bytes(b"no sound")
    with pytest.raises(InvalidDataset, match=r"1\.wav"):
        dataset_size(folder)
    (folder / "some.jsonl").write_text('{"text": "no audio"}')
    with pytest.raises(InvalidDataset):
        dataset_size(folder / "some.jsonl")
    with pytest.raises(InvalidDataset, match="no recording"):
        dataset_size(tmp_path)


def test_without_a_measurement_of_the_same_kind_nothing_is_guessed(times):
    for other in ({"machine": "direct on cuda"}, {"model_choice": "0.6B"}, {"batch_size": 1}):
        times.note(pace(**other))
    found = times.estimate(REQUEST, DatasetSize(5, 20.0), machine=HERE)
    assert (found.steps, found.seconds, found.measured_steps) == (30, None, 0)
    assert "cannot be estimated" in str(found)


def test_steps_take_as_long_as_they_took_and_longer_recordings_longer(times, tmp_path):
    times.note(pace())
    times.note(pace(steps=300, seconds=350.0))
    found = times.estimate(REQUEST, DatasetSize(5, 20.0), machine=HERE)
    assert found.seconds == pytest.approx(30 * 400 / 400)
    assert found.measured_steps == 400
    assert "about 0.5 min" in str(found)
    of_short_clips = TrainingTimes(tmp_path / "trainings.jsonl")
    of_short_clips.note(pace(clip_seconds=2.0))
    found = of_short_clips.estimate(REQUEST, DatasetSize(5, 20.0), machine=HERE)
    assert found.seconds == pytest.approx(30)


def test_damaged_lines_are_passed_over_and_cost_no_other(times):
    times.note(pace())
    with times.file.open("a") as file:
        file.write('{"machine": 1}\n[]\n{"machi')
    assert times.noted() == [pace()]
    times.note(pace(steps=2))
    assert times.noted() == [pace(), pace(steps=2)]


def test_of_many_notes_the_newest_stay(times):
    times.file.parent.mkdir()
    lines = [json.dumps(asdict(pace(steps=n))) for n in range(1, 1001)]
    times.file.write_text("\n".join(lines))
    times.note(pace(steps=1001))
    assert [noted.steps for noted in times.noted()] == list(range(502, 1002))
    assert [path.name for path in times.file.parent.iterdir()] == ["trainings.jsonl"]


def test_notes_that_are_written_at_once_are_all_kept(times):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: TrainingTimes(times.file).note(pace(steps=n)), range(1, 41)))
    assert sorted(noted.steps for noted in times.noted()) == list(range(1, 41))


def test_a_disk_that_refuses_is_an_error(tmp_path):
    times = TrainingTimes(tmp_path)
    with pytest.raises(StorageFailed):
        times.note(pace())
    with pytest.raises(StorageFailed):
        times.noted()


def test_the_clock_begins_again_with_a_training_that_does():
    heard, now = [], iter(range(0, 1000, 10))
    clock = StepClock(heard.append, lambda: next(now))
    clock(Progress(Stage.TRAINING, step=1, total_steps=10))
    assert clock.pace(REQUEST, None, machine=HERE) is None  # less than a step is no measurement
    for step in (2, 9, 1, 2, 4):
        clock(Progress(Stage.TRAINING, step=step, total_steps=10))
    clock(Progress(Stage.TRAINING, epoch=1, loss=2.0))
    assert len(heard) == 7
    found = clock.pace(REQUEST, DatasetSize(2, 5.0), machine=HERE)
    assert found == pace(steps=3, seconds=20.0, clip_seconds=2.5)
    assert clock.pace(REQUEST, None, machine=HERE).clip_seconds is None


async def test_a_training_is_measured_and_the_next_one_estimated_where_that_can_be_noted(
    standin_comfyui_factory, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    server = standin_comfyui_factory(instant=True, seconds_per_step=0.002)
    request = TrainingRequest(
        str(folder), str(tmp_path / "out"), "mia", num_epochs=4, gradient_accumulation_steps=1
    )
    config = QwenTTSConfig(comfyui_url=server.url, fallback="none")
    async with open_tts(config) as tts:
        assert tts.estimate_training_time(request).seconds is None
        await tts.train(request)
        found = tts.estimate_training_time(request)
        other = tts.estimate_training_time(request, size=DatasetSize(30, 60.0))
    assert found.machine == f"comfyui at {server.url}"
    assert (found.steps, found.measured_steps, found.audio_seconds) == (12, 11, 6.0)
    assert found.seconds > 0
    assert other.seconds == pytest.approx(found.seconds * 10)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "0.txt"))  # no folder
    async with open_tts(config) as tts:
        voice = await tts.train(request)
    assert any("not recorded" in warning for warning in voice.warnings)
