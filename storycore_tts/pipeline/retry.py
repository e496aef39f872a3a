"""Trying again: only what may succeed later, with growing pauses, and not for ever."""

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


class Retry(ClosableMiddleware):
    """Tries a call again after an error that says ``retryable``.

    An adapter raises such an error only when nothing of the request lives on in the backend; so no
    job is ever done twice because of this.

    A generation that went wrong by chance (silence, no end) is tried once more, with another seed,
    and not at all when the request fixes the seed: it would go wrong in the same way.

    Closing ends the pauses: a call that waits for its next try fails with its last error.

    Args:
        name: The backend's name, for events.
        policy: How often, and with which pauses.
        tell: Hears of every try that failed.
    """

    def __init__(self, name: str, *, policy: RetryPolicy, tell: Listener) -> None:
        super().__init__()
        self._name = name
        self._policy = policy
        self._tell = tell
        self._pauses = tenacity.wait_exponential(policy.initial_seconds, policy.longest_seconds)
        self._pausing: set[_Pause] = set()

    async def aclose(self) -> None:
        """End the pauses."""
        await super().aclose()
        for pause in tuple(self._pausing):
            pause.end()

    async def __call__(self, call: Call, send: Send) -> Any:
        """Make the call until it works, or must not be tried again."""
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
        """Return the pause: as the backend asked for, or ours; both differ from call to call."""
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
        if tries.closings != self.closings:  # another try would open everything again
            assert tries.last_error is not None
            raise tries.last_error


@dataclass
class _Tries:
    """The tries of one call."""

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


def _may_be_luckier(call: Call) -> bool:
    """Tell whether a generation goes another way when it is tried again."""
    sampling = getattr(call.request, "sampling", None)
    return sampling is not None and sampling.seed is None


def _error(state: tenacity.RetryCallState) -> TTSError | None:
    raised = state.outcome.exception() if state.outcome is not None else None
    return raised if isinstance(raised, TTSError) else None
