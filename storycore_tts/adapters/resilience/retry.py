"""Asking again: only what may succeed later, with growing pauses, and never for ever."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Protocol, TypeVar

import tenacity

from storycore_tts.adapters.resilience.layers import Call, Layer
from storycore_tts.domain.errors import BackendUnavailable, TTSError
from storycore_tts.domain.events import AttemptFailed, Listener
from storycore_tts.ports import Adapter

T = TypeVar("T")


class RetryPolicy(Protocol):
    """What ``tts.qwen.retry`` says; see ``RetryConfig``."""

    @property
    def attempts(self) -> int:
        """Tries of one request, the first among them."""
        ...

    @property
    def initial_seconds(self) -> float:
        """The first pause at most; each one after it may be twice as long."""
        ...

    @property
    def longest_seconds(self) -> float:
        """No pause of ours is longer."""
        ...

    @property
    def longest_retry_after(self) -> float:
        """A backend that asks for a longer pause is not waited for."""
        ...


class Retrying(Layer):
    """Asks an adapter again after an error that says ``retryable``.

    An adapter raises such an error only when nothing of the request lives on in the backend; so no
    job is ever done twice because of this.

    A generation that went wrong by chance (silence, no end) is tried once more, with another seed,
    and not at all when the request fixes the seed: it would go wrong in the same way.

    Closing ends the pauses: a call that waits for its next try fails with its last error.

    Args:
        inner: Whoever is asked.
        name: Its name, for events.
        policy: How often, and with which pauses.
        tell: Hears of every try that failed.
    """

    def __init__(self, inner: Adapter, *, name: str, policy: RetryPolicy, tell: Listener) -> None:
        super().__init__(inner)
        self._name = name
        self._policy = policy
        self._tell = tell
        self._pauses = tenacity.wait_exponential(policy.initial_seconds, policy.longest_seconds)
        self._pausing: set[_Pause] = set()

    async def aclose(self) -> None:
        """See ``Adapter.aclose``; also ends the pauses."""
        for pause in tuple(self._pausing):
            pause.end()
        await super().aclose()

    async def _handle(self, call: Call[T]) -> T:
        closings, failed = self._closings, None

        def before_sleep(state: tenacity.RetryCallState) -> None:
            nonlocal failed
            failed = _error(state)
            assert failed is not None
            assert state.next_action is not None
            self._report(call, state.attempt_number, failed, state.next_action.sleep)

        async def attempt() -> T:
            if failed is not None and closings != self._closings:
                raise failed  # we were closed in the pause; another try would open everything again
            return await call.to(self._inner)

        has_been_unlucky = False

        def is_worth_it(state: tenacity.RetryCallState) -> bool:
            nonlocal has_been_unlucky
            error = _error(state)
            if error is None or not error.retryable or closings != self._closings:
                return False
            if isinstance(error, BackendUnavailable):
                return (error.retry_after or 0.0) <= self._policy.longest_retry_after
            before, has_been_unlucky = has_been_unlucky, True
            return not before and _may_be_luckier(call)

        trying = tenacity.AsyncRetrying(
            retry=is_worth_it,
            wait=self._wait,
            stop=tenacity.stop_after_attempt(self._policy.attempts),
            before_sleep=before_sleep,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return await trying(attempt)
        except TTSError as error:
            if error.retryable and closings == self._closings:
                self._report(call, trying.statistics["attempt_number"], error, None)
            raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Return the pause: as the backend asked for, or ours; both differ from call to call."""
        asked_for = getattr(_error(state), "retry_after", None)
        if asked_for is not None:
            return float(asked_for) + random.uniform(0, self._policy.initial_seconds)
        return self._pauses(state) * random.uniform(0.5, 1.0)

    async def _sleep(self, seconds: float) -> None:
        pause = _Pause()
        self._pausing.add(pause)
        try:
            await pause.over(seconds)
        finally:
            self._pausing.discard(pause)

    def _report(self, call: Call[T], attempt: int, error: TTSError, pause: float | None) -> None:
        self._tell(AttemptFailed(call.operation, self._name, attempt, error, pause))


class _Pause:
    """A sleep on the running loop that can be ended from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()

    async def over(self, seconds: float) -> None:
        """Sleep for so long, or until the end."""
        timer = self._loop.call_later(seconds, self._over.set)
        try:
            await self._over.wait()
        finally:
            timer.cancel()

    def end(self) -> None:
        """End the sleep now."""
        with suppress(RuntimeError):  # its loop is closed, and the sleep over
            self._loop.call_soon_threadsafe(self._over.set)


def _may_be_luckier(call: Call[T]) -> bool:
    """Tell whether a generation goes another way when it is asked for again."""
    sampling = getattr(call.request, "sampling", None)
    return sampling is not None and sampling.seed is None


def _error(state: tenacity.RetryCallState) -> TTSError | None:
    raised = state.outcome.exception() if state.outcome is not None else None
    return raised if isinstance(raised, TTSError) else None
