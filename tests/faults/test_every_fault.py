"""Every fault that the stand-in knows, once, through the whole stack: how does the call end?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from storycore_tts import (
    AuthenticationFailed,
    BackendOverloaded,
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
from storycore_tts.testing.comfyui.faults import KINDS, Fault, ServerFault
from storycore_tts.testing.comfyui.log import FaultUsed

from .conftest import HURRIED, RETRY

ENDS = ("executing", "executed", "execution_success")
LIMITS = standin.InputLimits(input="temperature", maximum=0.5)
CLONE_NODE = "FB_Qwen3TTSVoiceClone"
SEEDED = {"sampling": Sampling(seed=7)}
HISTORY = {"path": "/history/*", "times": 2}
SUBMIT = {"path": "/prompt", "method": "POST"}
JSON = {"status": 200, "content_type": "application/json"}


@dataclass(frozen=True)
class Case:
    """A fault, whom it strikes, and what comes of it.

    Args:
        name: For the test's id.
        fault: What goes wrong.
        error: What is raised; None: nothing, and the result is right.
        port: Whose job it strikes.
        more: What else the run is told: how often it generates, which waits are short.
        says: Words that stand in the error.
        untold: Whether no frame names the outputs, so that the history must.
        servers: Whether on a modern server; on both where those two differ.
    """

    name: str
    fault: Fault
    error: Any = None
    port: str = "speak"
    more: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    servers: tuple[bool, ...] = (False,)
    untold: bool = False


def times(count: int) -> dict[str, Any]:
    """How often the job was generated."""
    return {"generated": count}


BOTH = (False, True)
ANOTHER = "another client"
IDLE = {"timeouts": {"idle": 0.5}}
HASTE = {"timeouts": HURRIED}

FAULTS = [
    # HTTP
    Case("busy", standin.Answer(**SUBMIT, status=429, headers={"Retry-After": "0"}), port="clone"),
    Case("bad-gateway", standin.Answer(**HISTORY, status=502, body="<html>"), untold=True),
    Case("unauthorised", standin.Answer(**SUBMIT, status=401), AuthenticationFailed, more=times(0)),
    Case("history-null", standin.Answer(**HISTORY, **JSON, body="null"), untold=True),
    Case("history-half", standin.Answer(**HISTORY, **JSON, body='{"half":'), untold=True),
    Case("history-list", standin.Answer(**HISTORY, **JSON, body="[]"), untold=True),
    Case("delayed", standin.Delay(**SUBMIT, seconds=0.2), port="train"),
    Case("hanging", standin.Hang(**SUBMIT), port="clone", more=HASTE),
    Case("reset-before", standin.ResetBefore(**SUBMIT), port="train"),
    Case("reset-after", standin.ResetAfter(**SUBMIT), port="checkpoint", servers=BOTH),
    Case("submission-cut", standin.CutBody(**SUBMIT), more=HASTE),
    Case("submission-short", standin.WrongLength(**SUBMIT, by=100), more=HASTE),
    Case("cut", standin.CutBody(path="/view")),
    Case("too-long", standin.WrongLength(path="/view", by=100), port="clone"),
    Case("too-short", standin.WrongLength(path="/view", by=-20), port="checkpoint"),
    Case("corrupt-audio", standin.CorruptBody(path="/view")),
    Case("corrupt-upload", standin.CorruptBody(path="/upload/image"), BackendUnavailable, "clone"),
    Case(
        "not-comfyui", standin.CorruptBody(path="/object_info/*"), BackendUnavailable, more=times(0)
    ),
    # The WebSocket
    Case("refused", standin.RefuseSocket()),
    Case("refused-always", standin.RefuseSocket(times=None), port="clone"),
    Case("closed", standin.CloseSocket(on="progress_state"), port="train"),
    Case("aborted", standin.AbortSocket(on="execution_success")),
    Case("aborted-always", standin.AbortSocket(times=None)),
    Case("half-open", standin.SilenceSocket(on="execution_start"), port="x-vector"),
    Case("twice", standin.DuplicateFrames(), port="train"),
    Case("no-ends", standin.DropFrames(types=ENDS)),
    Case("nothing", standin.DropFrames(types=(*ENDS, "status", "execution_start")), port="clone"),
    Case("no-prompt-id", standin.StripPromptId()),
    Case("unknown-event", standin.unknown_event(times=None)),
    Case("binary", standin.binary_frame(times=None)),
    Case("no-json", standin.invalid_json(times=None)),
    Case("huge", standin.huge_frame(on="execution_start"), port="train"),
    # Jobs
    Case("node-error", standin.NodeError(), GenerationFailed, "clone", servers=BOTH),
    Case("out-of-memory", standin.out_of_memory(), OutOfMemory, "train"),
    Case(
        "interrupted",
        standin.InterruptedByAnother(),
        JobCancelled,
        "speak",
        times(1),
        ANOTHER,
        BOTH,
    ),
    Case("deleted", standin.DeletedByAnother(), JobCancelled, "train", times(0), ANOTHER, BOTH),
    Case("cleared", standin.QueueCleared(), JobCancelled, "clone", times(0), ANOTHER),
    Case("slow-model", standin.SlowModelLoad(seconds=0.3), port="x-vector"),
    Case("silence", standin.SilentAudio(), port="clone", more=times(2)),
    Case("silence-always", standin.SilentAudio(times=None), SilentAudio, more=times(2)),
    Case(
        "silence-of-a-seed", standin.SilentAudio(), SilentAudio, "x-vector", {**times(1), **SEEDED}
    ),
    Case("inaudible", standin.QuietAudio(), port="checkpoint", more=times(2)),
    Case("runaway", standin.RunawayAudio(), more=times(2)),
    Case("runaway-always", standin.RunawayAudio(times=None), RunawayGeneration, "clone", times(2)),
    Case("disk-full", standin.DiskFull(), GenerationFailed, more=times(1)),
    Case("truncated-file", standin.TruncatedFile(), GenerationFailed, "clone", times(1)),
    Case("empty-file", standin.EmptyFile(), GenerationFailed, more=times(1)),
    Case("file-deleted", standin.OutputDeleted(), JobLost, more=times(1)),
    Case("no-outputs", standin.OutputsMissing(), GenerationFailed, "train", times(1), untold=True),
    Case("no-status", standin.HistoryStatusNull(), servers=(True,), untold=True),
    Case("history-lost", standin.HistoryLost(), JobLost, "train", times(1), untold=True),
    Case("history-late", standin.HistoryEmpty(times=4), port="clone", untold=True),
    Case("held", standin.Hold(at="loading"), BackendTimeout, "clone", IDLE, "idle"),
    # What the server has
    Case("no-pack", standin.NodePackMissing(), NodePackMissing, "train", times(0)),
    Case("no-voice-node", standin.NodeMissing(), NodePackMissing, "checkpoint", times(0)),
    Case(
        "no-clone-node", standin.NodeMissing(node=CLONE_NODE), NodePackMissing, "x-vector", times(0)
    ),
    Case("no-such-speaker", standin.SpeakerList(speakers=("Zoe",)), UnknownSpeaker, more=times(0)),
    Case("other-limits", LIMITS, InvalidRequest, more=times(0)),
]


def test_every_kind_of_fault_has_a_case():
    abstract = {"Fault", "HttpFault", "SocketFault", "JobFault", "ServerFault"}
    assert {type(case.fault).__name__ for case in FAULTS} == set(KINDS) - abstract


@pytest.mark.parametrize(
    ("case", "modern"),
    [
        pytest.param(case, modern, id=f"{case.name}{'-modern' * modern}")
        for case in FAULTS
        for modern in case.servers
    ],
)
async def test_a_fault_ends_as_it_should(make_run, case, modern):
    run = make_run(modern=modern)
    run.server.faults.add(case.fault)
    if case.untold:
        run.hide_the_outputs()
    ended = await run(case.port, error=case.error, **case.more)
    if not isinstance(case.fault, ServerFault | standin.Hold):  # those last, and do not strike
        assert run.server.log.of(FaultUsed), "it never struck, and nothing was tested"
    assert case.says in str(ended.error).lower()


# Any request ------------------------------------------------------------------------------------

PATHS = {
    "/system_stats": "speak",
    "/object_info/*": "train",
    "/upload/image": "clone",
    "/history/*": "train",
    "/view": "x-vector",
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_of_which_everything_goes_wrong_once_costs_time_only(run, path):
    where = {"path": path, "method": "POST" if path == "/upload/image" else "GET"}
    run.server.faults.add(
        standin.Answer(**where, status=503, headers={"Retry-After": "0"}),
        standin.Answer(**where, status=502, body="<html>Bad gateway"),
        standin.ResetBefore(**where),
        standin.Hang(**where),
        standin.ResetAfter(**where),
        standin.CutBody(**where),
        standin.WrongLength(**where, by=100),
    )
    if path == "/history/*":
        run.hide_the_outputs()
    # A busy machine lets some good answers come too late as well.
    await run(PATHS[path], **HASTE, retry={**RETRY, "attempts": 20})
    struck = [record.fault for record in run.server.log.of(FaultUsed)]
    assert len(struck) - struck.count("DropFrames") == 7


async def test_a_server_that_asks_for_too_long_a_pause_is_not_waited_for(run):
    run.server.faults.add(standin.Answer(**SUBMIT, status=429, headers={"Retry-After": "3600"}))
    await run("speak", error=BackendOverloaded, generated=0)
    assert run.server.log.http_count("/prompt", "POST") == 1
