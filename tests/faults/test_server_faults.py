"""Every fault of a ComfyUI server, for every port that it can strike, on both generations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from storycore_tts import (
    BackendTimeout,
    BackendUnavailable,
    GenerationFailed,
    InvalidRequest,
    JobCancelled,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    RunawayGeneration,
    Sampling,
    SilentAudio,
    UnknownSpeaker,
)
from storycore_tts.testing import comfyui as standin
from storycore_tts.testing.comfyui import (
    AbortSocket,
    Answer,
    CloseSocket,
    CorruptBody,
    CutBody,
    Delay,
    DeletedByAnother,
    DiskFull,
    DropFrames,
    DuplicateFrames,
    EmptyFile,
    Hang,
    HistoryEmpty,
    HistoryLost,
    HistoryStatusNull,
    InputLimits,
    InterruptedByAnother,
    NodeError,
    NodeMissing,
    OutputDeleted,
    OutputsMissing,
    QueueCleared,
    QuietAudio,
    RefuseSocket,
    ResetAfter,
    ResetBefore,
    RunawayAudio,
    SilenceSocket,
    SlowModelLoad,
    SpeakerList,
    StripPromptId,
    TruncatedFile,
    WrongLength,
    binary_frame,
    huge_frame,
    invalid_json,
    out_of_memory,
    unknown_event,
)
from storycore_tts.testing.comfyui.faults import Fault, ServerFault
from storycore_tts.testing.comfyui.log import FaultUsed

SPEAKING = ("speak", "checkpoint", "clone", "x-vector")
PORTS = (*SPEAKING, "train")
THREE = ("speak", "clone", "train")
ENDS = ("executing", "executed", "execution_success")
UNHURRIED = {"connect": 5.0, "request": 5.0, "cancel": 5.0}  # no wait of these shall end
SEEDED = {"sampling": Sampling(seed=7)}


@dataclass(frozen=True)
class Case:
    """A fault, whom it strikes, and what comes of it.

    Args:
        name: For the test's id.
        fault: What goes wrong.
        error: What is raised; None: nothing, the result is right.
        ports: Whose jobs it strikes.
        more: What else the run is told.
    """

    name: str
    fault: Fault
    error: Any = None
    ports: tuple[str, ...] = PORTS
    more: dict[str, Any] = field(default_factory=dict)


def tried(times: int) -> dict[str, Any]:
    """How often the job was generated."""
    return {"generated": times}


JOBS = [
    Case("node-error", NodeError(), GenerationFailed),
    Case("out-of-memory", out_of_memory(), OutOfMemory),
    Case("interrupted-by-another", InterruptedByAnother(), JobCancelled, SPEAKING, tried(1)),
    Case("deleted-by-another", DeletedByAnother(), JobCancelled, more=tried(0)),
    Case("queue-cleared", QueueCleared(), JobCancelled, more=tried(0)),
    Case("slow-model", SlowModelLoad(seconds=0.3), ports=SPEAKING),
    Case("silence", standin.SilentAudio(), ports=SPEAKING, more=tried(2)),
    Case(
        "silence-always",
        standin.SilentAudio(times=None),
        SilentAudio,
        ports=SPEAKING,
        more=tried(2),
    ),
    Case(
        "silence-of-a-seed",
        standin.SilentAudio(),
        SilentAudio,
        ports=SPEAKING,
        more={**tried(1), **SEEDED},
    ),
    Case("inaudible", QuietAudio(), ports=SPEAKING, more=tried(2)),
    Case("runaway", RunawayAudio(), ports=SPEAKING, more=tried(2)),
    Case(
        "runaway-always",
        RunawayAudio(times=None),
        RunawayGeneration,
        ports=SPEAKING,
        more=tried(2),
    ),
    Case("disk-full", DiskFull(), GenerationFailed, SPEAKING, tried(1)),
    Case("truncated-file", TruncatedFile(), GenerationFailed, SPEAKING, tried(1)),
    Case("empty-file", EmptyFile(), GenerationFailed, SPEAKING, tried(1)),
    Case("file-deleted", OutputDeleted(), JobLost, SPEAKING, tried(1)),
    Case("outputs-missing", OutputsMissing(), GenerationFailed, more=tried(1)),
    Case("history-status-null", HistoryStatusNull()),
    Case("history-lost", HistoryLost(), JobLost, more=tried(1)),
    Case("history-empty", HistoryEmpty(times=4)),
]

SOCKETS = [
    Case("refused", RefuseSocket(), ports=THREE),
    Case("refused-always", RefuseSocket(times=None), ports=THREE),
    Case("closed-at-start", CloseSocket(on="execution_start"), ports=THREE),
    Case("closed-in-progress", CloseSocket(on="progress_state"), ports=THREE),
    Case("aborted-at-start", AbortSocket(on="execution_start"), ports=THREE),
    Case("aborted-at-success", AbortSocket(on="execution_success"), ports=THREE),
    Case("aborted-always", AbortSocket(times=None), ports=THREE),
    Case("half-open-at-once", SilenceSocket(), ports=THREE),
    Case("half-open-at-start", SilenceSocket(on="execution_start"), ports=THREE),
    Case("duplicates", DuplicateFrames(), ports=THREE),
    Case("ends-dropped", DropFrames(types=ENDS), ports=THREE),
    Case("all-dropped", DropFrames(types=(*ENDS, "status", "execution_start")), ports=THREE),
    Case("no-prompt-id", StripPromptId(), ports=THREE),
    Case("unknown-event", unknown_event(times=None), ports=THREE),
    Case("binary", binary_frame(times=None), ports=THREE),
    Case("invalid-json", invalid_json(times=None), ports=THREE),
    Case("huge", huge_frame(on="execution_start"), ports=THREE),
]

SERVERS = [
    Case("no-node-pack", standin.NodePackMissing(), NodePackMissing, more=tried(0)),
    Case("no-voice-node", NodeMissing(), NodePackMissing, ("speak", "checkpoint"), tried(0)),
    Case(
        "no-clone-node",
        NodeMissing(node="FB_Qwen3TTSVoiceClone"),
        NodePackMissing,
        ports=("clone", "x-vector"),
        more=tried(0),
    ),
    Case(
        "no-training-node",
        NodeMissing(node="FB_Qwen3TTSTrain"),
        NodePackMissing,
        ports=("train",),
        more=tried(0),
    ),
    Case("no-such-speaker", SpeakerList(speakers=("Zoe",)), UnknownSpeaker, ("speak",), tried(0)),
    Case(
        "other-limits",
        InputLimits(input="temperature", maximum=0.5),
        InvalidRequest,
        ports=("speak",),
        more=tried(0),
    ),
]


def parameters(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.name) for case in cases]


@pytest.fixture
def struck(on_each):
    """Lets a fault strike each port, and says how that shall end."""

    async def run_all(fault: Fault, ports: tuple[str, ...], **ends: Any) -> None:
        async def one(run, port):
            run.server.faults.add(fault)
            await run(port, **ends)
            if not isinstance(fault, ServerFault):  # those last, and do not strike
                assert run.server.log.of(FaultUsed), "it never struck, and nothing was tested"

        await on_each(one, ports)

    return run_all


@pytest.mark.parametrize("case", parameters(JOBS))
async def test_a_job_that_goes_wrong_ends_as_it_should(struck, case):
    error = case.error or ()
    await struck(case.fault, case.ports, error=error, timeouts=UNHURRIED, **case.more)


@pytest.mark.parametrize("case", parameters(SOCKETS))
async def test_a_websocket_that_goes_wrong_costs_time_only(struck, case):
    await struck(case.fault, case.ports)


@pytest.mark.parametrize("case", parameters(SERVERS))
async def test_a_server_that_lacks_something_is_known_before_any_work(struck, case):
    await struck(case.fault, case.ports, error=case.error, **case.more)


# Limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "limit"),
    [("queue", "queue"), ("running", "idle"), ("running", "job"), ("history", "idle")],
)
async def test_a_job_that_takes_too_long_is_withdrawn(on_each, point, limit):
    async def one(run, port):
        gate = run.server.faults.hold(point)
        wait = "training" if (limit, port) == ("job", "train") else limit

        async def let_go_afterwards(call):
            await asyncio.wait([call])
            gate.release()

        ended = await run(
            port,
            error=BackendTimeout,
            meanwhile=let_go_afterwards,
            timeouts={**UNHURRIED, wait: 0.5},
        )
        assert (ended.error.wait, ended.error.seconds) == (wait, 0.5)
        assert not ended.error.retryable
        [job] = run.server.log.submitted
        assert job in [*run.server.log.deleted, *run.server.log.interrupt_requests]

    await on_each(one, THREE)


# HTTP -------------------------------------------------------------------------------------------

PATHS = {
    "/system_stats": THREE,
    "/object_info/*": THREE,
    "/upload/image": ("clone",),
    "/prompt": THREE,
    "/queue": THREE,
    "/history/*": THREE,
    "/view": ("speak", "clone"),
}
BEFORE_THE_JOB = ("/system_stats", "/object_info/*", "/upload/image")


def http_faults(path: str) -> Iterator[Fault]:
    """What a server can do to one request."""
    where = {"path": path, "method": "POST" if path in ("/upload/image", "/prompt") else "GET"}
    yield Answer(**where, status=429, headers={"Retry-After": "0"})
    yield Answer(**where, status=502, body="<html>Bad gateway")
    yield Hang(**where)
    yield Delay(**where, seconds=0.7)
    yield ResetBefore(**where)
    yield ResetAfter(**where)
    yield CutBody(**where)
    yield WrongLength(**where, by=100)
    yield WrongLength(**where, by=-20)
    yield CorruptBody(**where)
    if path == "/history/*":
        for body in ("null", "{}", '{"half":', "[]"):
            yield Answer(**where, status=200, body=body, content_type="application/json", times=2)


def named(fault: Any) -> str:
    more = f"{getattr(fault, 'status', '')}{getattr(fault, 'by', '')}{getattr(fault, 'body', '')}"
    return f"{fault.path.strip('/*')}-{type(fault).__name__}{more}"


def requests() -> list[Any]:
    return [
        pytest.param(fault, ports, id=named(fault))
        for path, ports in PATHS.items()
        for fault in http_faults(path)
    ]


def makes_no_sense(fault: Any) -> bool:
    """Whether the answer is no JSON, and so that of another server than ComfyUI."""
    spoilt = isinstance(fault, CorruptBody) or getattr(fault, "by", 0) < 0
    return spoilt and fault.path in BEFORE_THE_JOB


@pytest.mark.parametrize(("fault", "ports"), requests())
async def test_an_answer_that_goes_wrong_costs_time_only(struck, fault, ports):
    error = BackendUnavailable if makes_no_sense(fault) else ()
    await struck(fault, ports, well=True, error=error)
