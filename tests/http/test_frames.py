"""How many of our functions a line passes on its way to ComfyUI."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
import pytest

from storycore_tts.entrypoints.cli import main
from storycore_tts.testing.comfyui import StandInComfyUI

from .serving import on_comfyui, serving

SAY_AT_MOST, SERVICE_AT_MOST = 25, 30


class Frames:
    """Our frames that are on the stack when ``POST /prompt`` is sent.

    The stack is Python's own: functions, and coroutines that await each other, down to the entry
    point. Where work was handed to another task, the stack that created the task is added. A frame
    that is in both counts once; frames of other packages and of ``storycore_tts.testing``, and what
    calls the entry point, do not count.

    Args:
        entry: The function of the command, or of the route.
    """

    def __init__(self, entry: str) -> None:
        self.entry = entry
        self.names: list[str] = []
        self._created: dict[asyncio.Task[Any], tuple[list[FrameType], Any]] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch this thread, and those that start until the block ends."""
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def _called(self, frame: FrameType, event: str, arg: Any) -> None:
        function = (frame.f_globals.get("__name__"), frame.f_code.co_name, event)
        if function == ("asyncio.base_events", "create_task", "return"):
            self._created[arg] = (self._stack(frame), _current_task())
        if function != ("httpx._transports.default", "handle_async_request", "call"):
            return
        if frame.f_locals["request"].url.path == "/prompt" and not self.names:
            self.names = [_name(one) for one in self._way(frame) if _is_ours(one)]

    def _way(self, frame: FrameType) -> dict[FrameType, None]:
        found, task = dict.fromkeys(self._stack(frame)), _current_task()
        while task in self._created:
            stack, task = self._created[task]
            found |= dict.fromkeys(stack)
        return found

    def _stack(self, frame: FrameType | None) -> list[FrameType]:
        stack = []
        while frame is not None:
            stack.append(frame)
            frame = None if _name(frame) == self.entry else frame.f_back
        return stack


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return None


def _is_ours(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__", "")
    return module.startswith("storycore_tts") and not module.startswith("storycore_tts.testing")


def _name(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__", "")
    return f"{module.removeprefix('storycore_tts.')}.{frame.f_code.co_name}"


def _printed(what: str, frames: Frames, at_most: int) -> int:
    lines = [f"{what}: {len(frames.names)} of our frames before POST /prompt, {at_most} at most"]
    assert frames.entry in frames.names  # the way is whole
    sys.stdout.write("\n  ".join([*lines, *frames.names]) + "\n")
    return len(frames.names)


@pytest.fixture
def comfyui() -> Iterator[StandInComfyUI]:
    with StandInComfyUI(modern=True) as server:
        yield server


def test_a_line_of_the_command_line_passes_few_functions(comfyui, tmp_path):
    frames = Frames("entrypoints.cli.commands.say.say")
    with frames.watched():
        status = main(["say", "Hello.", "--url", comfyui.url, "--out", str(tmp_path / "a.wav")])
    assert status == 0
    assert 0 < _printed("storycore-tts say", frames, SAY_AT_MOST) <= SAY_AT_MOST


def test_a_line_of_the_service_passes_few_functions(comfyui, tmp_path):
    frames = Frames("entrypoints.http.openai.speech.speech")
    with (
        frames.watched(),
        serving(on_comfyui(tmp_path, comfyui.url, fallback="direct")) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        answer = http.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "wav"})
    assert answer.status_code == 200
    assert 0 < _printed("POST /v1/audio/speech", frames, SERVICE_AT_MOST) <= SERVICE_AT_MOST
