"""Falls back to other backends while one is unavailable."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from storycore_tts.domain.events import FellBack, Listener
from storycore_tts.errors import (
    BackendUnavailable,
    ConfigurationError,
    InvalidReferenceAudio,
    InvalidRequest,
    TTSError,
    UnknownSpeaker,
    UnsupportedLanguage,
    as_sentence,
)
from storycore_tts.pipeline.calls import Backend, Call, ClosableMiddleware, Send, with_warnings

# The backend never started the job; a path, for example, may be valid only on another backend.
_REFUSALS = (BackendUnavailable, InvalidRequest, ConfigurationError)
# Speakers, languages and recordings are the same for all backends.
_BAD_EVERYWHERE = (UnknownSpeaker, UnsupportedLanguage, InvalidReferenceAudio)


class Fallback(ClosableMiddleware):
    """Tries other backends in order while the first one is unavailable.

    Calls with invalid input, or that a backend started and failed (out of memory, runaway), do not
    fall back. Results of another backend carry a warning.

    Args:
        name: The first backend's name.
        others: Factories of the other backends by name; called on first use.
        tell: Receives an event for each fallback.
        only_if_installed: If the only other backend cannot be used at all, do not mention it.
    """

    def __init__(
        self,
        name: str,
        others: Mapping[str, Callable[[], Backend]],
        *,
        tell: Listener,
        only_if_installed: bool = False,
    ) -> None:
        super().__init__()
        self._name = name
        self._make = others
        self._tell = tell
        self._only_if_installed = only_if_installed
        self._made: dict[str, Backend] = {}
        self._making = threading.Lock()  # several threads may need a backend at once

    def details(self) -> Mapping[str, str]:
        """Return the names of the other backends."""
        return {"fallback": ", ".join(self._make)}

    async def aclose(self) -> None:
        """Close the other backends."""
        await super().aclose()
        async with AsyncExitStack() as stack:
            for other in self._made.values():
                stack.push_async_callback(other.aclose)

    async def __call__(self, call: Call, send: Send) -> Any:
        """Make the call, on another backend if necessary."""
        closings = self.closings
        try:
            return await send(call)
        except BackendUnavailable as error:
            if closings != self.closings:
                raise
            failed: dict[str, TTSError] = {self._name: error}
        for name in self._make:
            try:
                other = self._other(name)
                if not call.operation.offered_by(other.capabilities):
                    continue
                before, why = list(failed.items())[-1]
                self._tell(FellBack(call.operation.name, before, name, why))
                return with_warnings(await other.send(call), (_warning(name, failed),))
            except TTSError as error:
                failed[name] = error
                if closings != self.closings or not _is_refusal(error):
                    break
        first, *others = failed.values()
        if getattr(first, "retry_after", None) is not None:
            first.retryable = True  # the breaker's rejections are final for ``Retry`` only
        if not others:
            raise first
        raise self._error(first, others[-1], failed) from others[-1]

    def _other(self, name: str) -> Backend:
        with self._making:
            if name not in self._made:
                self._made[name] = self._make[name]()
            return self._made[name]

    def _error(self, first: TTSError, last: TTSError, failed: Mapping[str, TTSError]) -> TTSError:
        """Return one error that describes all failures.

        If the other backends only rejected the call, this is the first backend's error. If one of
        them started and failed, or the request is invalid on every backend, it is that error.
        """
        missing = isinstance(last, BackendUnavailable) and not last.retryable
        if missing and self._only_if_installed:
            return first
        error = copy.copy(first if _is_refusal(last) else last)
        error.message = _told(first.message, failed)
        hints = dict.fromkeys(one.hint for one in failed.values() if one.hint)
        error.hint = " ".join(hints) or None
        error.args = (error.message,)
        return error


def _is_refusal(error: TTSError) -> bool:
    return isinstance(error, _REFUSALS) and not isinstance(error, _BAD_EVERYWHERE)


def _told(first: str, failed: Mapping[str, TTSError]) -> str:
    _, *others = failed.items()
    also = [f"The fallback {name} failed too: {error.message}" for name, error in others]
    return " ".join([as_sentence(first), *map(as_sentence, also)]) if also else first


def _warning(name: str, failed: Mapping[str, TTSError]) -> str:
    first, error = next(iter(failed.items()))
    return _told(f"{name} was used because {first} was unavailable: {error.message}", failed)
