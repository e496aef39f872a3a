"""A checkpoint that is missing on the server never speaks as another voice without a word."""

from __future__ import annotations

import numpy as np
import pytest

from storycore_tts import CloneRequest, InvalidRequest, ReferenceAudio, SpeechRequest
from storycore_tts.testing.comfyui import Answer, StandInComfyUI

MODELS = "/srv/ComfyUI/models/qwen-tts"
CHECKPOINTS = {"/data/mia": ["mia", "ryan"], f"{MODELS}/tom": ["ryan"], "/data/base": []}


@pytest.fixture
def server(standin_comfyui_factory) -> StandInComfyUI:
    return standin_comfyui_factory(modern=True, instant=True, checkpoints=CHECKPOINTS)


def line(checkpoint: str, speaker: str = "Ryan", text: str = "Hello.") -> SpeechRequest:
    return SpeechRequest(text, speaker, checkpoint=checkpoint)


def unread(server: StandInComfyUI) -> None:
    """As behind a proxy that lets nobody read the log."""
    server.faults.add(Answer(path="/internal/logs", status=403, times=None))


@pytest.mark.parametrize("checkpoint", ["/data/mia", f"{MODELS}/tom"])
async def test_one_that_the_log_tells_of_is_named(server, adapter, checkpoint):
    speech = await adapter.synthesize(line(checkpoint))
    assert (speech.model, speech.warnings) == (checkpoint, ())


async def test_one_that_is_missing_is_an_error_after_the_stock_model_spoke(server, adapter):
    with pytest.raises(InvalidRequest, match="/data/nobody does not exist on the ComfyUI server"):
        await adapter.synthesize(line("/data/nobody"))
    assert len(server.log.submitted) == 1


async def test_one_that_is_missing_beside_the_models_is_refused_beforehand(server, adapter):
    with pytest.raises(InvalidRequest, match=f"{MODELS}/nobody does not exist"):
        await adapter.synthesize(line(f"{MODELS}/nobody"))
    assert server.log.submitted == []


async def test_the_missing_one_of_a_speaker_whom_nobody_knows_is_named(server, adapter):
    with pytest.raises(InvalidRequest, match="/data/nobody does not exist"):
        await adapter.synthesize(line("/data/nobody", "Mia"))


async def test_one_that_came_later_is_loaded_although_the_stock_model_took_its_place(
    server, adapter, tmp_path
):
    place = tmp_path / "late"
    with pytest.raises(InvalidRequest):
        await adapter.synthesize(line(str(place)))
    place.mkdir()
    (place / "config.json").write_text(
        '{"tts_model_type": "custom_voice", "talker_config": {"spk_id": {"ryan": 1}}}', "utf-8"
    )
    assert (await adapter.synthesize(line(str(place)))).model == str(place)


async def test_a_speaker_whom_the_stock_model_does_not_know_proves_it(server, adapter):
    unread(server)
    speech = await adapter.synthesize(line("/data/mia", "Mia"))
    assert (speech.model, speech.warnings) == ("/data/mia", ())


async def test_one_that_nothing_tells_of_is_not_claimed(server, adapter):
    unread(server)
    speech = await adapter.synthesize(line("/data/mia"))
    assert speech.model == ""
    assert "does not report whether it has loaded the checkpoint /data/mia" in speech.warnings[0]


async def test_one_that_stays_in_memory_is_known_after_the_log_forgot_it(server, adapter):
    await adapter.synthesize(line("/data/mia"))
    server.faults.add(Answer(path="/internal/logs", status=200, body='""', times=None))
    assert (await adapter.synthesize(line("/data/mia", text="More."))).model == "/data/mia"


@pytest.mark.parametrize("checkpoint", ["/data/base", "/data/nobody"])
async def test_a_clones_checkpoint(server, adapter, reference: ReferenceAudio, checkpoint):
    request = CloneRequest("Hello.", reference, x_vector_only=True, checkpoint=checkpoint)
    if checkpoint == "/data/base":
        assert (await adapter.clone(request)).model == checkpoint
    else:
        with pytest.raises(InvalidRequest, match="/data/nobody does not exist"):
            await adapter.clone(request)


async def test_a_broken_log_keeps_no_speech_back(server, adapter):
    server.faults.add(Answer(path="/internal/logs", status=200, body="<html>", times=None))
    speech = await adapter.synthesize(line("/data/mia"))
    assert np.abs(speech.samples).max() > 0
    assert speech.model == ""
