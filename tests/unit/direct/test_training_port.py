"""Training through the adapter; what a training does is tested beside it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soundfile

from storycore_tts import (
    BackendUnavailable,
    InvalidDataset,
    SpeechRequest,
    Stage,
    TrainingRequest,
)


@pytest.fixture
def training(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(2):
        tone = 0.3 * np.sin(np.arange(48_000) * 2 * np.pi * (200 + 20 * number) / 24_000)
        soundfile.write(folder / f"{number}.wav", tone, 24_000)
        (folder / f"{number}.txt").write_text(f"Recording number {number}.", encoding="utf-8")
    return TrainingRequest(str(folder), str(tmp_path / "out"), "Hero", num_epochs=100)


async def under_way(adapter, training):
    """Return a training that has done its first step."""
    learning = asyncio.Event()
    call = asyncio.ensure_future(
        adapter.train(
            training,
            on_progress=lambda news: learning.set() if news.stage is Stage.TRAINING else None,
        )
    )
    done, _ = await asyncio.wait(
        [call, asyncio.ensure_future(learning.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    assert call not in done, call.result()
    return call


async def test_a_training_has_the_device_for_itself_until_it_is_cancelled(
    models, open_adapter, training
):
    adapter = open_adapter(models)
    await adapter.synthesize(SpeechRequest("Hi.", "ryan"))
    call = await under_way(adapter, training)
    assert (await adapter.status()).details["loaded"] == "nothing"
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(adapter.synthesize(SpeechRequest("Hi.", "ryan")), 60)


async def test_closing_ends_a_training(models, open_adapter, training, tmp_path):
    adapter = open_adapter(models)
    call = await under_way(adapter, training)
    await adapter.aclose()
    assert not adapter._pool._thread.is_alive()
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    with pytest.raises(BackendUnavailable, match="closed"):
        await call


async def test_a_faulty_dataset_is_refused(models, open_adapter, training, tmp_path):
    (tmp_path / "recordings" / "0.txt").unlink()
    with pytest.raises(InvalidDataset):
        await open_adapter(models).train(training)
