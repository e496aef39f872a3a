"""However a caller leaves: no job stays on a server, and no task, thread or socket here."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from storycore_tts import QwenTTSConfig, SpeechRequest, open_tts
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.faults import Gate
from storycore_tts.testing.comfyui.log import StandInLog

from .conftest import PATIENT, traces

PATIENCE = 60.0  # s, for what must happen
LINE = "The old house at the end of the road had been empty for years, or so they all said. "
REQUEST = SpeechRequest("Hello, this is a test.", "Ryan")
ENDLESS = SpeechRequest(LINE * 40, "Ryan")  # nobody waits for its end


@dataclass
class Backend:
    """One that speaks, and will not end by itself while somebody leaves."""

    config: QwenTTSConfig
    request: SpeechRequest
    stage: Stage
    """What its progress says when it is under way."""
    server: StandInComfyUI | None = None
    gate: Gate | None = None
    before: set[object] = field(default_factory=lambda: traces(()))
    calls: list[asyncio.Future[object]] = field(default_factory=list)
    """Kept, so that none is lost before its end."""

    @property
    def ports(self) -> Collection[int]:
        return [self.server.port] if self.server else []

    async def speak(self, speaker: Any, started: asyncio.Event) -> object:
        def report(progress: Progress) -> None:
            if progress.stage is self.stage:
                started.set()

        return await speaker.synthesize(self.request, on_progress=report)

    def is_left(self) -> None:
        """Assert that nothing of ours is there any more."""
        if self.server and self.gate:
            self.gate.release()
            assert self.server.log.submitted, "nothing was under way, and nothing was tested"
            assert self.server.log.wait_for(is_off), "the job went on without a caller"
            assert self.server.log.wait_for(lambda log: log.open_sockets == 0)
        assert traces(self.ports) - self.before == set()


def is_off(log: StandInLog) -> bool:
    """Whether all jobs were interrupted or deleted."""
    return sorted([*log.interrupted, *log.deleted]) == sorted(log.submitted)


@pytest.fixture(params=["comfyui-queued", "comfyui-running", "comfyui-modern", "draft", "direct"])
def backend(
    request: pytest.FixtureRequest, standin_comfyui_factory: Callable[..., StandInComfyUI]
) -> Backend:
    """Each backend that is installed; a ComfyUI holds the job until the caller has left."""
    name, _, how = request.param.partition("-")
    if name == "draft":
        config = QwenTTSConfig(backend="draft", fallback=None)
        return Backend(config, ENDLESS, Stage.GENERATING)
    if name == "direct":
        settings = request.getfixturevalue("tiny_voice")
        config = QwenTTSConfig(backend="direct", fallback=None, **settings)
        return Backend(config, ENDLESS, Stage.GENERATING)
    server = standin_comfyui_factory(instant=True, modern=how == "modern")
    config = QwenTTSConfig(comfyui_url=server.url, fallback=None, comfyui={"timeouts": PATIENT})
    gate = server.faults.hold("queue" if how == "queued" else "running")
    # Not "generating": newer servers report progress ten times a second at most.
    stage = Stage.QUEUED if how == "queued" else Stage.LOADING
    return Backend(config, REQUEST, stage, server, gate)


# In this process --------------------------------------------------------------------------------


async def by_cancelling(backend: Backend) -> None:
    """The task is cancelled, the service stays open."""
    async with open_tts(backend.config) as service:
        started = asyncio.Event()
        call = asyncio.ensure_future(backend.speak(service, started))
        await asyncio.wait_for(started.wait(), PATIENCE)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, PATIENCE)


async def by_an_exception(backend: Backend) -> None:
    """Another line fails, and takes the block down in which the service is open."""
    started = asyncio.Event()

    async def fail() -> None:
        await asyncio.wait_for(started.wait(), PATIENCE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with open_tts(backend.config) as service:
            await asyncio.gather(backend.speak(service, started), fail())
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:  # the other line's own task may still be told how it ended
        _, left = await asyncio.wait(left, timeout=PATIENCE)
    assert not left


async def speaks(backend: Backend) -> asyncio.Future[None]:
    """A call that opens a service, speaks, and has begun."""
    started = asyncio.Event()

    async def speak() -> None:
        async with open_tts(backend.config) as service:
            await backend.speak(service, started)

    call = asyncio.ensure_future(speak())
    await asyncio.wait_for(started.wait(), PATIENCE)
    return call


async def by_a_timeout(backend: Backend) -> None:
    """Everything happens within a time limit, and that is over."""
    call = await speaks(backend)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(call, 0.01)


async def by_the_end_of_the_loop(backend: Backend) -> None:
    """The program's main coroutine returns while a task speaks: ``asyncio.run`` cancels all."""
    backend.calls.append(await speaks(backend))


@pytest.mark.parametrize(
    "leave", [by_cancelling, by_an_exception, by_a_timeout, by_the_end_of_the_loop]
)
def test_a_caller_that_leaves_leaves_nothing(
    backend: Backend, leave: Callable[[Backend], Awaitable[None]]
) -> None:
    asyncio.run(leave(backend))
    backend.is_left()


@pytest.mark.parametrize("backend", ["comfyui-running", "comfyui-queued"], indirect=True)
def test_the_end_of_the_loop_takes_the_job_of_an_adapter_that_stays_open(backend: Backend) -> None:
    adapter = ComfyUIAdapter(backend.config)

    async def main() -> None:
        started = asyncio.Event()
        backend.calls.append(asyncio.ensure_future(backend.speak(adapter, started)))
        await asyncio.wait_for(started.wait(), PATIENCE)

    asyncio.run(main())
    backend.is_left()


def test_an_adapter_that_was_used_from_many_loops_keeps_none_of_them(
    standin_comfyui_factory: Callable[..., StandInComfyUI],
) -> None:
    server = standin_comfyui_factory(instant=True)
    adapter = ComfyUIAdapter(QwenTTSConfig(comfyui_url=server.url))
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    before = traces(())

    async def speak() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await adapter.synthesize(REQUEST)

    for _ in range(10):
        asyncio.run(speak())
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1
    assert traces([server.port]) - before == set()


# In a process of its own --------------------------------------------------------------------------

PROGRAM = """
import asyncio, json, signal, sys, threading
import psutil
from storycore_tts import QwenTTSConfig, SpeechRequest, open_tts
from storycore_tts.domain.progress import Stage

config, text, stage = json.loads(sys.argv[1]), sys.argv[2], Stage(sys.argv[3])

def report(progress):
    if progress.stage is stage:
        print("speaking", flush=True)

async def main():
    task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with open_tts(QwenTTSConfig(**config)) as service:
        await service.synthesize(SpeechRequest(text, "Ryan"), on_progress=report)

try:
    asyncio.run(main())
except asyncio.CancelledError:
    threads = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    sockets = [str(one) for one in psutil.Process().net_connections("tcp")]
    print(json.dumps(["left", threads, sockets]), flush=True)
"""


@pytest.fixture
def program(backend: Backend) -> Iterator[subprocess.Popen[str]]:
    settings = backend.config.model_dump(mode="json", exclude_defaults=True)
    arguments = [json.dumps({"backend": "comfyui", **settings}), backend.request.text]
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, backend.stage.value],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path.cwd(),
    )
    with child:
        yield child
        child.kill()


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("backend", ["comfyui-running", "draft", "direct"], indirect=True)
def test_a_program_that_is_signalled_leaves_nothing(
    backend: Backend, program: subprocess.Popen[str]
) -> None:
    assert program.stdout is not None
    assert program.stdout.readline() == "speaking\n"
    program.terminate()
    said = [line for line in program.stdout if line != "speaking\n"]
    assert [json.loads(line) for line in said] == [["left", [], []]]
    assert program.wait(PATIENCE) == 0
    backend.is_left()
