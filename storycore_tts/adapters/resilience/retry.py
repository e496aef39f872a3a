"""Asking again: only what may succeed later, with growing pauses, and never for ever."""

from __future__ import annotations

import random
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

    async def _handle(self, call: Call[T]) -> T:
        def before_sleep(state: tenacity.RetryCallState) -> None:
            error = _error(state)
            assert error is not None
            assert state.next_action is not None
            self._report(call, state.attempt_number, error, state.next_action.sleep)

        has_been_unlucky = False

        def is_worth_it(state: tenacity.RetryCallState) -> bool:
            nonlocal has_been_unlucky
            error = _error(state)
            if error is None or not error.retryable:
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
            reraise=True,
        )
        try:
            return await trying(call.to, self._inner)
        except TTSError as error:
            if error.retryable:
                self._report(call, trying.statistics["attempt_number"], error, None)
            raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Return the pause: as the backend asked for, or ours; both differ from call to call."""
        asked_for = getattr(_error(state), "retry_after", None)
        if asked_for is not None:
            return float(asked_for) + random.uniform(0, self._policy.initial_seconds)
        return self._pauses(state) * random.uniform(0.5, 1.0)

    def _report(self, call: Call[T], attempt: int, error: TTSError, pause: float | None) -> None:
        self._tell(AttemptFailed(call.operation, self._name, attempt, error, pause))


def _may_be_luckier(call: Call[T]) -> bool:
    """Tell whether a generation goes another way when it is asked for again."""
    sampling = getattr(call.request, "sampling", None)
    return sampling is not None and sampling.seed is None


def _error(state: tenacity.RetryCallState) -> TTSError | None:
    raised = state.outcome.exception() if state.outcome is not None else None
    return raised if isinstance(raised, TTSError) else None
