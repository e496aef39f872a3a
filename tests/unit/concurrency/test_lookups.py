"""A question is asked once for all who ask it at the same time."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts import BackendUnavailable
from storycore_tts.concurrency.lookups import Lookups

pytestmark = pytest.mark.virtual_clock


def gone() -> BackendUnavailable:
    return BackendUnavailable("cut off")


async def test_a_question_that_failed_is_asked_again():
    answers = [BackendUnavailable("first"), "second"]

    async def ask() -> str:
        await asyncio.sleep(1)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lookups = Lookups(gone)
    calls = [asyncio.ensure_future(lookups.get("key", ask)) for _ in range(3)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(error) for error in errors] == ["first"] * 3
    assert len(set(map(id, errors))) == 3  # each caller may change its own
    assert await lookups.get("key", ask) == "second"


async def test_a_caller_who_leaves_takes_the_answer_from_no_one():
    async def ask() -> str:
        await asyncio.sleep(1)
        return "answer"

    lookups = Lookups(gone)
    first, second = (asyncio.ensure_future(lookups.get("key", ask)) for _ in range(2))
    await asyncio.sleep(0.5)
    first.cancel()
    assert await second == "answer"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_answers_are_bounded():
    async def ask() -> None: ...

    lookups = Lookups(gone, limit=3)
    for number in range(10):
        await lookups.get(str(number), ask)
    assert [str(number) in lookups for number in range(10)] == [False] * 7 + [True] * 3


async def test_a_question_that_was_cancelled_fails_and_is_asked_again():
    """Closing a client cancels it; its callers were not cancelled, and must not look so."""

    async def ask() -> str:
        await asyncio.sleep(1)
        return "answer"

    lookups = Lookups(gone)
    before = asyncio.all_tasks()
    call = asyncio.ensure_future(lookups.get("key", ask))
    await asyncio.sleep(0)
    (asked,) = asyncio.all_tasks() - before - {call}
    asked.cancel()
    with pytest.raises(BackendUnavailable, match="cut off"):
        await call
    assert await lookups.get("key", ask) == "answer"
