"""One tries to connect to a server that is down, and the others are told what came of it."""

from __future__ import annotations

import time

import httpx
import pytest

from storycore_tts.adapters.comfyui.transport.reachability import ReachabilityCache
from storycore_tts.adapters.comfyui.protocol.messages import graph_of_history, has_run


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


async def test_nobody_tries_at_once_again(clock):
    reach = ReachabilityCache()
    reach.check()
    reach.failed(httpx.ConnectTimeout("too late"))
    assert not reach.reachable.is_set()
    clock[0] += 0.99
    with pytest.raises(httpx.ConnectTimeout, match="too late"):
        reach.check()


async def test_one_tries_and_the_others_wait_for_what_comes_of_it(clock):
    reach = ReachabilityCache()
    reach.failed(httpx.ConnectError("refused"))
    clock[0] += 1.31
    reach.check()
    with pytest.raises(httpx.ConnectError, match="refused"):
        reach.check()


async def test_an_answer_lets_everybody_through(clock):
    reach = ReachabilityCache()
    reach.failed(httpx.ConnectError("refused"))
    reach.answer()
    reach.check()
    reach.check()
    assert reach.reachable.is_set()
    assert reach.answered.is_set()


@pytest.mark.parametrize("entry", [{}, {"prompt": None}, {"prompt": [1, "id"]}])
def test_a_history_entry_may_not_say_what_ran(entry):
    assert graph_of_history(entry) is None


def test_a_history_entry_says_what_ran():
    assert graph_of_history({"prompt": [1, "id", {"voice": {}}, {}, []]}) == {"voice": {}}


def test_what_says_that_a_job_has_run():
    assert has_run("execution_success", {})
    assert has_run("executing", {"node": None})
    assert not has_run("executing", {"node": "voice"})
    assert not has_run("execution_error", {})
