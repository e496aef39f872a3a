"""One job of a port on a faulty server or network, and all that must hold after it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from storycore_tts import (
    CloneRequest,
    QwenTTSConfig,
    ReferenceAudio,
    Sampling,
    SpeechRequest,
    TrainedVoice,
    TrainingRequest,
    TTSError,
    open_tts,
)
from storycore_tts.container import ConfiguredSpeech
from storycore_tts.domain.events import AttemptFailed, Event
from storycore_tts.domain.speech import Speech
from storycore_tts.testing.comfyui import DropFrames, StandInComfyUI
from storycore_tts.testing.comfyui.faults import Gate
from storycore_tts.testing.comfyui.log import NodeRan, StandInLog
from storycore_tts.testing.comfyui.speech import Speaking, speak
from storycore_tts.testing.contract import tone_dataset, tone_reference
from storycore_tts.testing.proxy import FaultyProxy

from .lines import character_of, sounds_like

CHECKPOINT, FINE_TUNED = "/voices/mia", "Mia"
SECRET = "Xanadu"  # stands in all that users write, and must never stand in a log
TEXT = f"In {SECRET} did Kubla Khan."
TRANSCRIPT = f"A {SECRET} of words, four seconds long, about."

# No wait of these ends by itself, even on a machine that stalls for some seconds.
PATIENT = {
    "connect": 20.0,
    "request": 20.0,
    "queue": 60.0,
    "idle": 60.0,
    "job": 60.0,
    "training": 60.0,
    "away": 20.0,
    "cancel": 10.0,
}
# For a server that does not answer: what such a fault costs is paid in every run of the tests.
HURRIED = {"connect": 0.7, "request": 0.7, "cancel": 0.7}
# Enough tries for a fault that strikes a few times and a machine that stalls meanwhile.
RETRY = {"attempts": 9, "initial_seconds": 0.05, "longest_seconds": 0.4}

Meanwhile = Callable[[asyncio.Future[Any]], Awaitable[None]]


@dataclass
class Ended:
    """What a run ended with: a result or an error, and what listeners heard."""

    result: Any
    error: TTSError | None
    heard: list[Event]

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.heard if type(event) is kind]


class Run:
    """Asks a port of a service for one thing, and checks what must hold whatever went wrong.

    The service is whole, with its retries; before the server stands a proxy.
    """

    def __init__(
        self,
        server: StandInComfyUI,
        proxy: FaultyProxy,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.server = server
        self.proxy = proxy
        self.failed = asyncio.Event()  # a try failed
        self._folder = folder
        self._caplog = caplog
        self._reference = ReferenceAudio(tone_reference(220.0).samples, transcript=TRANSCRIPT)

    async def __call__(
        self,
        port: str,
        *,
        error: type[TTSError] | None = None,
        generated: int | None = None,
        lost: int = 0,
        meanwhile: Meanwhile | None = None,
        sampling: Sampling | None = None,
        **settings: Any,
    ) -> Ended:
        """Run one job to the end that it should have.

        Args:
            port: "speak", "checkpoint", "clone", "x-vector" or "train".
            error: What is raised, exactly; None: nothing, and the result is right.
            generated: How often the node of the pack ran; by default once, and once at most where
                the run ends in an error.
            lost: How many submissions the server lost; each may have begun to run before.
            meanwhile: What else happens while the job is under way.
            sampling: How the model draws its tokens.
            **settings: As for ``config``.
        """
        config = self.config(**settings)
        async with open_tts(config) as service:
            heard: list[Event] = []
            service.add_listener(heard.append)
            service.add_listener(self._look_for_failures)
            call = asyncio.ensure_future(self.ask(port, service, sampling))
            if meanwhile is not None:
                await meanwhile(call)
            ended = await self._ended(call, limit_of(config), heard)
            self.server.faults.clear()
            await self._nothing_is_left_on_the_server(lost)
        if error is None:
            assert ended.error is None, repr(ended.error)
            self.is_right(port, ended.result)
        else:
            assert type(ended.error) is error, repr(ended.error or ended.result)
            assert ended.error.backend, "it does not say on which side it went wrong"
        self._generated_once(generated, lost, well=error is None)
        self._told_nobody()
        return ended

    @property
    def generated(self) -> int:
        """How often a node of the pack really ran."""
        return sum(ran.node_type.startswith("FB_") for ran in self.server.log.of(NodeRan))

    def _look_for_failures(self, event: Event) -> None:
        if isinstance(event, AttemptFailed):
            self.failed.set()

    def hide_the_outputs(self) -> None:
        """Let no frame name them, so that the history must be asked for."""
        self.server.faults.add(DropFrames(types=("executed",)))

    async def is_at(self, gate: Gate) -> None:
        """Wait until the job stands at a gate."""
        assert await asyncio.to_thread(gate.reached.wait, 30)

    def config(self, **settings: Any) -> QwenTTSConfig:
        """Settings with patient waits; ``timeouts`` changes some of those."""
        timeouts = {**PATIENT, **settings.pop("timeouts", {})}
        comfyui = {"timeouts": timeouts, **settings.pop("comfyui", {})}
        usual = {"comfyui_url": self.proxy.url, "fallback": None, "retry": RETRY}
        return QwenTTSConfig(**{**usual, **settings}, comfyui=comfyui)

    async def ask(
        self, port: str, service: ConfiguredSpeech, sampling: Sampling | None = None
    ) -> Speech | TrainedVoice:
        """Ask for one thing."""
        if port == "train":
            return await service.train(self._training())
        drawn: dict[str, Any] = {"language": "English", "sampling": sampling or Sampling()}
        if port in ("clone", "x-vector"):
            only = port == "x-vector"
            request = CloneRequest(TEXT, self._reference, x_vector_only=only, **drawn)
            return await service.clone(request)
        if port == "checkpoint":
            mine = SpeechRequest(TEXT, FINE_TUNED, checkpoint=CHECKPOINT, **drawn)
            return await service.synthesize(mine)
        return await service.synthesize(SpeechRequest(TEXT, "Ryan", **drawn))

    def is_right(self, port: str, result: Any) -> None:
        """Assert that it is what was asked for: the very words, in the very voice."""
        if isinstance(result, TrainedVoice):
            config = json.loads((Path(result.checkpoint_path) / "config.json").read_text("utf-8"))
            assert list(config["talker_config"]["spk_id"]) == [FINE_TUNED.lower()]
            assert (result.speaker_name, result.epochs) == (FINE_TUNED, 1)
            return
        assert isinstance(result, Speech)
        assert result.job_id in self.server.log.submitted
        sounds_like(result.samples, self._voiced(port, result.seed or 0))

    def _training(self) -> TrainingRequest:
        return TrainingRequest(
            str(tone_dataset(self._folder / "recordings", recordings=2)),
            str(self._folder / "trained"),
            FINE_TUNED,
            test_text=TEXT,
            num_epochs=1,
            gradient_accumulation_steps=1,
        )

    def _voiced(self, port: str, seed: int) -> np.ndarray:
        """What the stand-in makes of the text, and nobody else."""
        speaker, character = "Ryan", ""
        if port == "checkpoint":
            speaker, character = FINE_TUNED, f"{CHECKPOINT} {FINE_TUNED.lower()}"
        if port in ("clone", "x-vector"):
            character = character_of(self._reference)
        return speak(Speaking(TEXT, speaker, "English", seed, character=character))

    async def _ended(self, call: asyncio.Future[Any], limit: float, heard: list[Event]) -> Ended:
        try:
            return Ended(await asyncio.wait_for(call, limit), None, heard)
        except TTSError as raised:
            return Ended(None, raised, heard)

    def _generated_once(self, generated: int | None, lost: int, *, well: bool) -> None:
        log = self.server.log
        for job in log.submitted:
            assert log.executions(job) <= 1 + lost
        assert None not in log.interrupt_requests, "that hits whatever runs, whoever's it is"
        if generated is not None or well:
            assert self.generated == (1 if generated is None else generated)
        else:
            assert self.generated <= 1

    async def _nothing_is_left_on_the_server(self, lost: int) -> None:
        def over(log: StandInLog) -> bool:
            submitted, ended = Counter(log.submitted), Counter([*log.executed_ids, *log.deleted])
            return (submitted - ended).total() <= lost

        assert await self.server.log.until(over), "a job of ours is still there"

    def _told_nobody(self) -> None:
        """What users write is logged at DEBUG at most."""
        for record in self._caplog.records:
            if record.levelno >= logging.INFO:
                assert SECRET not in f"{record.getMessage()} {vars(record)}"


def traces(ports: Collection[int]) -> set[object]:
    """Tasks, threads and connections to these ports that this process has now."""
    try:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
    except RuntimeError:  # no loop runs here
        tasks = set()
    # The threads of event loops' pools and of the test's own servers are not ours to end.
    others = ("asyncio_", "standin-comfyui", "faulty-proxy")
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith(others)}
    connections = psutil.Process().net_connections("tcp")
    return {*tasks, *threads, *(c for c in connections if c.raddr and c.raddr.port in ports)}


async def nothing_is_left_here(before: set[object], ports: Collection[int]) -> None:
    """Assert that all of ours ends; sockets need some steps of the loop for it."""
    clock = asyncio.get_running_loop().time
    over = clock() + 10
    while left := traces(ports) - before:
        assert clock() < over, left
        await asyncio.sleep(0)


def limit_of(config: QwenTTSConfig) -> float:
    """The most seconds that anything may take by these settings, on a machine that may stall."""
    waits = config.comfyui.timeouts
    one_try = waits.connect + 4 * waits.request + waits.away + config.retry.longest_seconds
    return 3 * one_try + waits.job + waits.cancel


@pytest.fixture
async def make_run(
    standin_comfyui_factory: Callable[..., StandInComfyUI],
    faulty_proxy_factory: Callable[[str], FaultyProxy],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Callable[..., Run]]:
    """Makes runs, each with a server and a network of its own: ``make_run(modern=True)``.

    After the test no task, thread or connection of ours may be left in this process.
    """
    caplog.set_level(logging.INFO)
    made: list[Run] = []

    def make(**options: Any) -> Run:
        server = standin_comfyui_factory(checkpoints={CHECKPOINT: (FINE_TUNED,)}, **options)
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Run(server, faulty_proxy_factory(server.url), folder, caplog))
        return made[-1]

    before = traces(())
    yield make
    await nothing_is_left_here(before, [run.proxy.port for run in made])


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    """One job of a port: ``await run("clone")``."""
    return make_run()


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of nobody, and nobody can take it while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def tiny_voice(tiny_places: dict[str, str]) -> dict[str, Any]:
    """Settings for the direct backend with models of some megabytes; skips without torch."""
    return {"device": "cpu", "precision": "fp32", "direct": {"models": tiny_places}}
