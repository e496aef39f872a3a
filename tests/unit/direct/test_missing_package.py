import json
import sys

import pytest

from storycore_tts import BackendUnavailable, QwenTTSConfig, SpeechRequest
from storycore_tts.adapters.direct import create


@pytest.fixture
async def adapter(tmp_path, monkeypatch):
    """An adapter that finds a checkpoint, and no torch."""
    monkeypatch.setitem(sys.modules, "torch", None)
    config = {
        "tts_model_type": "custom_voice",
        "talker_config": {"spk_id": {"ryan": 1}, "codec_language_id": {}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    adapter = create(QwenTTSConfig(direct={"models": {"1.7B-CustomVoice": str(tmp_path)}}))
    yield adapter
    await adapter.aclose()


async def test_it_is_said_what_to_install(adapter):
    with pytest.raises(BackendUnavailable, match=r"pip install 'storycore-tts\[direct\]'") as error:
        await adapter.synthesize(SpeechRequest("Hello.", "Ryan"))
    assert "torch" in error.value.message
    assert not error.value.retryable
    status = await adapter.status()
    assert not status.reachable
    assert "storycore-tts[direct]" in status.problems[0].advice
    assert [speaker.name for speaker in await adapter.speakers()] == ["ryan"]  # need no torch
