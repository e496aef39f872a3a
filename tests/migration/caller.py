"""Calls the small engine as its pages and services do, from its folder: ``caller.py PHASE``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fastapi.testclient import TestClient

PHASE = int(sys.argv[1])
TOKEN = {"Authorization": "Bearer a-token"}
LINE = {"text": "Hello.", "voice": "Serena"}


def over_http() -> None:
    """Ask its app: what is its own stays its own, and speech needs its token."""
    from backend.main_api import api

    assert PHASE >= 2 or "storycore_tts" not in sys.modules
    path = "/api/video-editor/ai/tts"
    with TestClient(api) as client:
        assert client.get("/health").json() == "the app's"
        assert client.get("/api/video-editor/health").json() == "the editor's"
        if PHASE < 2:
            assert client.post(path, json=LINE).json()["status"] == "pending"
            return
        assert client.post(path, json=LINE).status_code == 401
        told = client.post(path, json=LINE, headers=TOKEN).json()
        assert Path(told["audio_path"]).stat().st_size > 1000
        assert client.get(told["audio_url"]).content[:4] == b"RIFF"


def by_factory() -> None:
    """Ask its factory, its editor and its class for a service."""
    import video_editor_ai_service as engine

    services = [engine.create_tts_service(), engine.AIVideoEditorService().tts]
    assert all(type(service) is engine.TTSService for service in services)
    qwen = engine.AIConfig(tts_model="qwen")
    services = [engine.create_tts_service(qwen), engine.AIVideoEditorService(qwen).tts]
    services.append(engine.TTSService(config=qwen))
    engine.ai_config.tts_model = "qwen"
    services.append(engine.create_tts_service())
    if PHASE < 2:
        assert all(type(service) is engine.TTSService for service in services)
    else:
        asyncio.run(speaking(services))


async def speaking(services) -> None:
    """Let each of some services speak."""
    for service in services:
        assert (await service.text_to_speech("Hello.", voice="Serena")).duration > 0.1
        await service.aclose()


def in_a_film() -> None:
    """Let a character speak."""
    from backend.cine_production_service import speak

    spoken = speak("http://127.0.0.1:7860", "Hello.", character_id="char_001", tone="neutral")
    try:
        path = asyncio.run(spoken)
    except ModuleNotFoundError:  # the engine's own client lacks a module
        assert PHASE < 3
    else:
        assert PHASE >= 3
        assert Path(path).exists()


sys.path[:0] = ["backend", "."]
over_http()
by_factory()
in_a_film()
