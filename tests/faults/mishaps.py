"""The world of random schedules, and what may go wrong in it: with a job, a server, a network."""

from __future__ import annotations

import asyncio
import random
import selectors
from pathlib import Path
from typing import Any

from storycore_tts import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    GenerationFailed,
    JobCancelled,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    RunawayGeneration,
    SilentAudio,
)
from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.testing import comfyui as standin
from storycore_tts.testing import proxy as network

SPEED = 20  # of the clock of a world

PATHS = ("/queue", "/history/*", "/prompt", "/upload/image", "/view", "/system_stats",
         "/object_info/*")  # fmt: skip
EVENTS = ("*", "status", "execution_start", "progress", "executing", "executed",
          "execution_success")  # fmt: skip
REQUESTS = (
    b"", b"GET /queue", b"GET /history", b"GET /view", b"GET /ws", b"GET /object_info",
    b"POST /prompt", b"POST /upload", b"POST /queue", b"POST /interrupt", b"POST /api",
)  # fmt: skip

# What an unreachable or a strange server excuses.
STRANGE = {
    BackendUnavailable, BackendTimeout, BackendOverloaded, AuthenticationFailed, GenerationFailed,
    JobLost, JobCancelled, NodePackMissing,
}  # fmt: skip
# What each fault of a job excuses, on a calm server too.
JOB_FAULTS: dict[standin.Fault, tuple[type[Exception], ...]] = {
    standin.NodeError(): (GenerationFailed,),
    standin.out_of_memory(): (OutOfMemory,),
    standin.InterruptedByAnother(): (JobCancelled,),
    standin.DeletedByAnother(): (JobCancelled,),
    standin.DeletedByAnother(after=1): (JobCancelled,),
    standin.QueueCleared(): (JobCancelled,),
    standin.SlowModelLoad(seconds=0.05): (),
    standin.SilentAudio(): (SilentAudio,),
    standin.SilentAudio(times=3): (SilentAudio,),
    standin.QuietAudio(): (SilentAudio,),
    standin.RunawayAudio(times=2): (RunawayGeneration,),
    standin.DiskFull(): (GenerationFailed,),
    standin.TruncatedFile(): (GenerationFailed,),
    standin.EmptyFile(): (GenerationFailed,),
    standin.OutputsMissing(): (GenerationFailed,),
    standin.OutputDeleted(): (JobLost,),
    standin.HistoryStatusNull(): (GenerationFailed,),
    standin.HistoryLost(): (JobLost, JobCancelled),
    standin.HistoryEmpty(times=4): (JobLost, JobCancelled),
    standin.NodePackMissing(): (NodePackMissing, GenerationFailed),
}
# Generations that went wrong by chance are made once more; of the others the server says that it
# knows nothing, though they ran.
MADE_AGAIN = (standin.SilentAudio, standin.QuietAudio, standin.RunawayAudio)
FORGETFUL = (standin.HistoryLost, standin.HistoryEmpty)


def server_fault(draw: random.Random) -> standin.Fault:
    """Something that goes wrong with a request or a WebSocket."""
    http = {"path": draw.choice(PATHS), "times": draw.randint(1, 3), "after": draw.randint(0, 2)}
    socket = {"on": draw.choice(EVENTS), "after": draw.randint(0, 2)}
    later = draw.choice((None, {"Retry-After": "1"}, {"Retry-After": "9"}))
    often = draw.choice((1, 5, None))
    return draw.choice(
        [
            standin.Answer(status=draw.choice((401, 404, 500, 502, 504)), **http),
            standin.Answer(status=draw.choice((429, 503)), headers=later, **http),
            # Of what it reads only: nobody can help a server that lies about what it did.
            standin.Answer(status=200, body=draw.choice(("", "[]")), method="GET", **http),
            standin.Delay(seconds=draw.choice((0.005, 0.05)), **http),
            standin.Hang(path=http["path"]),
            standin.ResetBefore(**http),
            standin.ResetAfter(**http),
            standin.CutBody(**http),
            standin.WrongLength(by=draw.choice((-20, 100)), **http),
            standin.CorruptBody(**http),
            standin.RefuseSocket(times=often),
            standin.CloseSocket(**socket),
            standin.AbortSocket(**socket),
            standin.SilenceSocket(**socket),
            standin.DuplicateFrames(on=socket["on"], times=often),
            standin.StripPromptId(on=socket["on"], times=often),
            standin.DropFrames(types=draw.choice((EVENTS, ("executing",)))),
            standin.unknown_event(**socket),
            standin.binary_frame(**socket),
            standin.invalid_json(**socket),
        ]
    )


def network_fault(draw: random.Random) -> Any:
    """Something that goes wrong on the way to the server."""
    where = {
        "request": draw.choice(REQUESTS),
        "direction": draw.choice(("request", "response")),
        "after_bytes": draw.choice((0, 20, 150, 400, 1000)),
        "after": draw.randint(0, 2),
    }
    # Of answers that can be seen to be wrong, and of nothing that we send: what a server mishears
    # no client can know.
    answer = draw.choice((b"GET /queue", b"GET /history", b"GET /view", b"GET /ws"))
    heard = {**where, "request": answer, "direction": "response"}
    return draw.choice(
        [
            network.Cut(**where),
            network.Reset(**where),
            network.Stall(**where),
            network.Slow(bytes_per_second=draw.choice((5_000, 50_000)), **where),
            network.Corrupt(**heard, length=draw.choice((1, 50, None))),
            network.Refuse(times=draw.randint(1, 3)),
            network.StallConnect(),
        ]
    )


class _FastSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is fast, for all that waits on it."""

    def __init__(self) -> None:
        super().__init__(_FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


class World:
    """What all schedules of a test share: an old and a modern server, and its folders."""

    def __init__(self, folder: Path) -> None:
        self.loop = FastLoop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.folder, paths = folder, {"/data": folder}
        (folder / "recordings").mkdir()
        for name in ("0.wav", "0.txt", "1.wav", "1.txt"):
            (folder / "recordings" / name).touch()
        self.servers = [
            standin.StandInComfyUI(modern=new, server_paths=paths) for new in (False, True)
        ]
        self.draft = DraftAdapter()
        self.jobs = 0
