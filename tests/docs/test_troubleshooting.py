"""The messages that the integration guide explains are those that users see."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from collections.abc import Callable, Iterator
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
        (Answer(path="/object_info/*", status=503, times=None), "answered 503"),
        (Hang(path="/object_info/*", times=None), "did not answer within"),
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


async def test_a_server_without_cuda_is_explained(standin_comfyui_factory):
    error = await said(standin_comfyui_factory(instant=True, has_cuda=False).url)
    assert explained(error), error.message
    assert "tts.qwen.device" in error.hint


async def test_a_server_that_wants_a_key_is_explained(standin_comfyui_factory):
    error = await said(standin_comfyui_factory(instant=True, token="secret").url)
    assert "answered 401 Unauthorized" in error.message
    assert explained(error)


async def test_a_wrong_scheme_is_explained(standin_comfyui):
    error = await said(standin_comfyui.url.replace("http:", "https:"))
    assert "plain HTTP" in error.message
    assert explained(error)


async def test_a_wrong_speaker_is_explained(standin_comfyui):
    assert explained(await said(standin_comfyui.url, speaker="Emily"))


async def test_nobody_there_is_explained():
    assert explained(await said("http://127.0.0.1:9"))


@pytest.fixture
def other_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


async def test_another_server_is_explained(other_server: str):
    error = await said(other_server)
    assert "does not speak like ComfyUI" in error.message
    assert explained(error)


TONE = (0.3 * np.sin(np.arange(96_000) / 20)).astype(np.float32)


@pytest.mark.parametrize(
    "asked",
    [
        lambda: QwenTTSConfig(precision="fp16"),
        lambda: CloneRequest("Hello.", ReferenceAudio(TONE)),
    ],
    ids=["settings", "clone"],
)
def test_what_is_refused_at_once_is_explained(asked: Callable[[], object]):
    with pytest.raises(TTSError) as refused:
        asked()
    assert explained(refused.value), refused.value.message
