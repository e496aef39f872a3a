"""The messages that the integration guide explains are those that users see."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from storycore_tts import CloneRequest, QwenTTSConfig, ReferenceAudio, TTSError, open_tts
from storycore_tts.testing.comfyui import (
    Answer,
    Hang,
    InterruptedByAnother,
    NodePackMissing,
    RunawayAudio,
    SilentAudio,
    out_of_memory,
)

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "documentation" / "QWEN_TTS_INTEGRATION.md").read_text(encoding="utf-8")
QUOTES = re.findall(
    r"^- `([^`]+)`", GUIDE.partition("\n## When something goes wrong\n")[2], re.MULTILINE
)
ANY = "…"


def pattern(text: str) -> re.Pattern[str]:
    """Return what matches a text in which dots stand for anything."""
    return re.compile(".*".join(re.escape(part) for part in text.split(ANY)), re.DOTALL)


def sentences() -> set[str]:
    """Return the strings of the code that could be messages, with dots for what is filled in."""
    found = set()
    for file in (ROOT / "storycore_tts").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    str(part.value) if isinstance(part, ast.Constant) else ANY
                    for part in node.values
                ]
                found.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    # Those that are almost nothing but dots would match whatever is quoted.
    return {text for text in found if len(text.replace(ANY, "")) >= 20 and " " in text}


def test_the_guide_quotes_what_the_code_says():
    patterns = [pattern(text) for text in sentences()]
    unknown = [
        quote
        for quote in QUOTES
        if not any(one.fullmatch(quote) for one in patterns)
        and "Allowed: " not in quote  # put together from parts, and raised below
    ]
    assert len(QUOTES) >= 20
    assert unknown == []


def explained(error: TTSError) -> bool:
    return any(pattern(quote).match(error.message) for quote in QUOTES)


async def said(url: str, *, speaker: str = "Ryan", **settings: object) -> TTSError:
    """Return the error that a user gets who asks a server for a line."""
    usual = {"comfyui_url": url, "fallback": "none", "retry": {"attempts": 1}}
    async with open_tts(QwenTTSConfig(**{**usual, **settings})) as tts:
        with pytest.raises(TTSError) as refused:
            await asyncio.wait_for(tts.say("Hello, this is a test.", speaker=speaker), 60)
    return refused.value


@pytest.mark.parametrize(
    ("fault", "quoted"),
    [
        (NodePackMissing(), "has no node FB_Qwen3TTSCustomVoice"),
        (Answer(path="/object_info/*", status=503, times=None), "with 503"),
        (Hang(path="/object_info/*", times=None), "did not respond within"),
        (out_of_memory(), "failed on the ComfyUI server"),
        (SilentAudio(times=None), "of silence"),
        (RunawayAudio(times=None), "did not stop speaking"),
        (InterruptedByAnother(), "interrupted on the ComfyUI server"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_server_does_is_explained(standin_comfyui, fault: object, quoted: str):
    standin_comfyui.faults.add(fault)
    error = await said(standin_comfyui.url, comfyui={"timeouts": {"request": 1.0}})
    assert quoted in error.message
    assert explained(error), error.message


async def test_a_job_that_waits_too_long_is_explained(standin_comfyui):
    gate = standin_comfyui.faults.hold("queue")
    error = await said(standin_comfyui.url, comfyui={"timeouts": {"queue": 0.3}})
    gate.release()
    assert "was withdrawn" in error.message
    assert explained(error)


class NoComfyUI(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def other_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), NoComfyUI)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_wrong_server_or_speaker_is_explained(standin_comfyui_factory, other_server: str):
    url = standin_comfyui_factory(instant=True).url
    without_models = standin_comfyui_factory(instant=True, models=[]).url
    locked = standin_comfyui_factory(instant=True, token="secret").url
    for error, quoted in (
        (await said(without_models), "A model is missing"),
        (await said(locked), "with 401 Unauthorized"),
        (await said(url.replace("http:", "https:")), "plain HTTP"),
        (await said(url, speaker="Emily"), "'Emily'"),
        (await said("http://127.0.0.1:9"), "127.0.0.1:9"),
        (await said(other_server), "does not behave like ComfyUI"),
    ):
        assert quoted in str(error)
        assert explained(error), error.message


def test_what_is_refused_at_once_is_explained():
    recording = ReferenceAudio((0.3 * np.sin(np.arange(96_000) / 20)).astype(np.float32))
    for asked in (lambda: QwenTTSConfig(precision="fp16"), lambda: CloneRequest("Hi.", recording)):
        with pytest.raises(TTSError) as refused:
            asked()
        assert explained(refused.value), refused.value.message
