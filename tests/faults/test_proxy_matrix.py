"""Every fault of a network, at every stage of a job: it costs time only.

A stage is a request and a place in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from storycore_tts.testing.proxy import (
    Corrupt,
    Cut,
    Refuse,
    Reset,
    Rule,
    Slow,
    Stall,
    StallConnect,
)

from .conftest import HURRIED


@dataclass(frozen=True)
class Stage:
    """Where a fault strikes.

    Args:
        name: For the test's id.
        port: Whose job it strikes.
        request: How the request begins.
        after_bytes: How much goes through first.
        direction: Whether it is the request or the response that suffers.
        after: How many requests that begin so come before it.
    """

    name: str
    port: str
    request: bytes
    after_bytes: int = 60
    direction: str = "response"
    after: int = 0

    def place(self) -> dict[str, Any]:
        """The same, as a rule of the proxy takes it."""
        return {
            "request": self.request,
            "direction": self.direction,
            "after_bytes": self.after_bytes,
            "after": self.after,
        }


STAGES = (
    Stage("system_stats", "speak", b"GET /system_stats"),
    Stage("object_info", "train", b"GET /object_info", 600),
    Stage("upload-request", "clone", b"POST /upload", 50_000, "request"),
    Stage("upload-response", "clone", b"POST /upload"),
    Stage("submit-request", "speak", b"POST /prompt", 600, "request"),
    Stage("submit-response", "train", b"POST /prompt"),
    Stage("handshake-request", "speak", b"GET /ws", 30, "request"),
    Stage("handshake-response", "clone", b"GET /ws"),
    Stage("mid-job", "train", b"GET /ws", 900),
    Stage("history", "speak", b"GET /history", 600),
    Stage("upload-check", "clone", b"GET /view", 50_000),
    Stage("download", "speak", b"GET /view", 20_000),
    Stage("download-of-clone", "clone", b"GET /view", 20_000, after=1),
)


def breaks(place: dict[str, Any]) -> list[Rule]:
    """A connection that ends in an orderly way, and the next one that is reset."""
    return [Cut(**place), Reset(**{**place, "after": place["after"] + 1})]


def slows(place: dict[str, Any]) -> list[Rule]:
    """A message that never ends, and the next one that takes its time."""
    later = {**place, "after": place["after"] + 1}
    return [Stall(**place), Slow(**later, bytes_per_second=300_000)]


def corrupts(place: dict[str, Any]) -> list[Rule]:
    """Some bytes that are others."""
    return [Corrupt(**place, length=40)]


# What is no JSON before the job is an answer of another server than ComfyUI (test_every_fault.py).
ANSWERS_BEFORE_THE_JOB = ("system_stats", "object_info", "upload-response")


@pytest.mark.parametrize(
    ("stage", "faults"),
    [
        pytest.param(stage, faults, id=f"{stage.name}-{faults.__name__}")
        for stage in STAGES
        for faults in (breaks, slows, corrupts)
        if faults is not corrupts or stage.name not in ANSWERS_BEFORE_THE_JOB
    ],
)
async def test_a_fault_of_the_network_costs_time_only(run, stage, faults):
    rules = faults(stage.place())
    run.proxy.add(*rules)
    run.hide_the_outputs()
    await run(stage.port, timeouts=HURRIED)
    assert rules[0] in run.proxy.log.struck, "the stage never came, and nothing was tested"


CONNECTING = [Refuse(times=2), Refuse(after=1), StallConnect(), StallConnect(after=1)]


@pytest.mark.parametrize("rule", CONNECTING, ids=repr)
async def test_a_connection_that_fails_costs_time_only(run, rule):
    run.proxy.add(rule)
    await run("clone", timeouts=HURRIED)
    assert rule in run.proxy.log.struck


async def test_a_submission_that_arrives_late_generates_nothing_twice(run):
    """The first one was given up and repeated; a server keeps what it has just made."""
    run.proxy.add(Stall(request=b"POST /prompt", after_bytes=600))
    await run("train", timeouts=HURRIED)
    run.proxy.release()
    assert await run.server.log.until(lambda log: len(log.executed_ids) == 2)
    assert len(set(run.server.log.submitted)) == 1
    assert run.generated == 1
