"""Every fault of a network, at every stage of a job, for every port.

Nothing here is listed by hand: a stage is a request and a place in it, and a rule says which faults
make sense there and how such a run may end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from storycore_tts import BackendUnavailable
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

PORTS = ("speak", "clone", "train")


@dataclass(frozen=True)
class Stage:
    """Where a fault strikes.

    Args:
        name: For the test's id.
        request: How the request begins.
        direction: Whether it is the request or the response that suffers.
        after_bytes: How much of it goes through first.
        ports: Whose jobs have this stage.
        size: Its bytes, roughly: one that is slow takes half a second for them.
        after: How many requests that begin so come before it.
    """

    name: str
    request: bytes
    direction: str = "response"
    after_bytes: int = 60
    ports: tuple[str, ...] = PORTS
    size: int = 1_000
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
    Stage("system_stats", b"GET /system_stats"),
    Stage("object_info", b"GET /object_info", after_bytes=600, size=5_000),
    Stage("upload-request", b"POST /upload", "request", 50_000, ("clone",), size=200_000),
    Stage("upload-response", b"POST /upload", ports=("clone",)),
    Stage("submit-request", b"POST /prompt", "request", 600),
    Stage("submit-response", b"POST /prompt"),
    Stage("handshake-request", b"GET /ws", "request", 30),
    Stage("handshake-response", b"GET /ws"),
    Stage("mid-job", b"GET /ws", after_bytes=900, size=10_000),
    Stage("queue", b"GET /queue"),
    Stage("history", b"GET /history", after_bytes=600, size=3_000),
    Stage("upload-check", b"GET /view", "response", 50_000, ("clone",), size=200_000),
    Stage("download", b"GET /view", "response", 20_000, ("speak",), size=60_000),
    Stage("download-of-clone", b"GET /view", "response", 20_000, ("clone",), size=60_000, after=1),
)

CONNECTING = {
    "Refuse": Refuse(),
    "RefuseTwice": Refuse(times=2),
    "RefuseSecond": Refuse(after=1),
    "Stall": StallConnect(),
    "StallSecond": StallConnect(after=1),
}


def faults(stage: Stage) -> Iterator[Rule]:
    """What a network can do to one message."""
    place = stage.place()
    yield Cut(**place)
    yield Reset(**place)
    yield Stall(**place)
    yield Slow(**place, bytes_per_second=stage.size * 2)
    yield Corrupt(**place, length=40)


def cells() -> Iterator[Any]:
    """Stage and fault, and the ports whose jobs have the stage."""
    for stage in STAGES:
        for fault in faults(stage):
            yield pytest.param(fault, stage.ports, id=f"{stage.name}-{type(fault).__name__}")
    for name, fault in CONNECTING.items():
        yield pytest.param(fault, PORTS, id=f"connect-{name}")


def may_fail(fault: Rule) -> bool:
    """Whether a run may end in an error, and not in the right audio only.

    An answer that is no JSON is that of another server than ComfyUI, which is not asked again.
    """
    before = (b"GET /system_stats", b"GET /object_info", b"POST /upload")
    is_before = getattr(fault, "request", None) in before
    return isinstance(fault, Corrupt) and is_before and fault.direction == "response"


@pytest.mark.parametrize(("fault", "ports"), list(cells()))
async def test_a_fault_of_the_network_costs_time_only(on_each, fault, ports):
    error = BackendUnavailable if may_fail(fault) else ()

    async def one(run, port):
        run.proxy.add(fault)
        await run(port, well=True, error=error)
        assert fault in run.proxy.log.struck, "the stage never came, and nothing was tested"

    # One generation is enough here: a network does not know who speaks.
    await on_each(one, ports, modern=(False,))


async def test_a_submission_that_arrives_late_generates_nothing_twice(on_each):
    """The first one was given up and repeated; a server keeps what it has just made."""

    async def one(run, port):
        run.proxy.add(Stall(request=b"POST /prompt", after_bytes=600))
        await run(port)
        run.proxy.release()
        assert await run.server.log.until(lambda log: len(log.executed_ids) == 2)
        assert len(set(run.server.log.submitted)) == 1
        assert run.generated == 1

    await on_each(one, PORTS)
