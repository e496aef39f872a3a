"""Retries calls that may succeed later, with growing pauses and a limit."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import tenacity

from storycore_tts.domain.events import AttemptFailed, Listener
from storycore_tts.errors import BackendUnavailable, TTSError
from storycore_tts.pipeline.calls import Call, ClosableMiddleware, Send


class RetryPolicy(Protocol):
    """The settings ``tts.qwen.retry``; see ``RetryConfig``."""

    @property
    def attempts(self) -> int:
        """Maximum number of attempts per request, including the first."""
        ...

    @property
    def initial_seconds(self) -> float:
        """Maximum of the first pause in seconds; it doubles with each further pause."""
        ...

    @property
    def longest_seconds(self) -> float:
        """Maximum of any pause in seconds, unless the backend requests one."""
        ...

    @property
    def longest_retry_after(self) -> float:
        """Maximum pause in seconds that a backend may request; if longer, the call fails."""
        ...


class Retry(ClosableMiddleware):
    """Retries a call after an error that is ``retryable``.

    An adapter raises such an error only if nothing of the request is left on the backend, so
    retries never run a job twice.

    A generation that failed by chance (silence, runaway) is retried once with another seed. It is
    not retried if the request fixes the seed, because it would fail in the same way.

    Closing ends all pauses: a call that waits for its next attempt fails with its last error.

    Args:
        name: The backend's name, for events.
        policy: Number of attempts and length of pauses.
        tell: Receives an event for every failed attempt.
    """

    def __init__(self, name: str, *, policy: RetryPolicy, tell: Listener) -> None:
        super().__init__()
        self._name = name
        self._policy = policy
        self._tell = tell
        self._pauses = tenacity.wait_exponential(policy.initial_seconds, policy.longest_seconds)
        self._pausing: set[_Pause] = set()

    async def aclose(self) -> None:
        """End all pauses."""
        await super().aclose()
        for pause in tuple(self._pausing):
            pause.end()

    async def __call__(self, call: Call, send: Send) -> Any:
        """Make the call until it succeeds or must not be retried."""
        tries = _Tries(call, self.closings)
        trying = tenacity.AsyncRetrying(
            retry=lambda state: self._is_worth_it(tries, _error(state)),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(self._policy.attempts),
            before_sleep=lambda state: self._report(tries, state),
            sleep=lambda seconds: self._sleep(tries, seconds),
            reraise=True,
        )
        try:
            async for attempt in trying:
                with attempt:
                    return await send(call)
        except TTSError as error:
            if error.retryable and tries.closings == self.closings:
                number = trying.statistics["attempt_number"]
                self._tell(AttemptFailed(call.operation.name, self._name, number, error, None))
            raise

    def _is_worth_it(self, tries: _Tries, error: TTSError | None) -> bool:
        if error is None or not error.retryable or tries.closings != self.closings:
            return False
        if isinstance(error, BackendUnavailable):
            return (error.retry_after or 0.0) <= self._policy.longest_retry_after
        before, tries.were_unlucky = tries.were_unlucky, True
        return not before and _may_be_luckier(tries.call)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Return the pause in seconds: the backend's, or an exponential one; both with jitter."""
        asked_for = getattr(_error(state), "retry_after", None)
        if asked_for is not None:
            return float(asked_for) + random.uniform(0, self._policy.initial_seconds)
        return self._pauses(state) * random.uniform(0.5, 1.0)

    def _report(self, tries: _Tries, state: tenacity.RetryCallState) -> None:
        error, action = _error(state), state.next_action
        assert error is not None
        assert action is not None
        tries.last_error = error
        name, number = tries.call.operation.name, state.attempt_number
        self._tell(AttemptFailed(name, self._name, number, error, action.sleep))

    async def _sleep(self, tries: _Tries, seconds: float) -> None:
        pause = _Pause()
        self._pausing.add(pause)
        try:
            await pause.over(seconds)
        finally:
            self._pausing.discard(pause)
        if tries.closings != self.closings:  # another attempt would reopen everything
            assert tries.last_error is not None
            raise tries.last_error


@dataclass
class _Tries:
    """The attempts of one call."""

    call: Call
    closings: int
    were_unlucky: bool = False
    last_error: TTSError | None = None


class _Pause:
    """A sleep on the running loop that can be ended from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()

    async def over(self, seconds: float) -> None:
        """Sleep for ``seconds``, or until ``end`` is called."""
        timer = self._loop.call_later(seconds, self._over.set)
        try:
            await self._over.wait()
        finally:
            timer.cancel()

    def end(self) -> None:
        """End the sleep now."""
        with suppress(RuntimeError):  # the loop is closed, so the sleep has ended
            self._loop.call_soon_threadsafe(self._over.set)


def _may_be_luckier(call: Call) -> bool:
    """Return whether a retry would generate different audio."""
    sampling = getattr(call.request, "sampling", None)
    return sampling is not None and sampling.seed is None


def _error(state: tenacity.RetryCallState) -> TTSError | None:
    raised = state.outcome.exception() if state.outcome is not None else None
    return raised if isinstance(raised, TTSError) else None
