"""Training through the adapter; what a training does is tested beside it."""

import asyncio

import pytest

from storycore_tts import BackendUnavailable, InvalidDataset, SpeechRequest, Stage, TrainingRequest
from storycore_tts.testing.contract import tone_dataset


@pytest.fixture
def training(tmp_path):
    recordings = tone_dataset(tmp_path / "recordings")
    return TrainingRequest(str(recordings), str(tmp_path / "out"), "Hero", num_epochs=100)


async def under_way(adapter, training):
    """Return a training that has done its first step."""
    learning = asyncio.Event()
    call = asyncio.ensure_future(
        adapter.train(
            training,
            on_progress=lambda news: learning.set() if news.stage is Stage.TRAINING else None,
        )
    )
    await asyncio.wait(
        [call, asyncio.ensure_future(learning.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    assert not call.done(), call.result()
    return call


async def test_a_training_has_the_device_for_itself_until_it_is_cancelled(open_adapter, training):
    adapter, hi = open_adapter(), SpeechRequest("Hi.", "ryan")
    await adapter.synthesize(hi)
    call = await under_way(adapter, training)
    assert (await adapter.status()).details["loaded"] == "nothing"
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(adapter.synthesize(hi), 60)


async def test_closing_ends_a_training(open_adapter, training, tmp_path):
    adapter = open_adapter()
    call = await under_way(adapter, training)
    await adapter.aclose()
    assert not adapter._pool._thread.is_alive()
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    with pytest.raises(BackendUnavailable, match="closed"):
        await call


async def test_a_faulty_dataset_is_refused(open_adapter, training, tmp_path):
    next((tmp_path / "recordings").glob("*.txt")).unlink()
    with pytest.raises(InvalidDataset):
        await open_adapter().train(training)
