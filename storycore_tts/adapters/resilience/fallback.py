"""Another backend for what one cannot do just now."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

from storycore_tts.adapters.resilience.layers import Begun, Call, Layer
from storycore_tts.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    InvalidReferenceAudio,
    InvalidRequest,
    TTSError,
    UnknownSpeaker,
    UnsupportedLanguage,
)
from storycore_tts.domain.events import FellBack, Listener
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.ports import Adapter, BackendStatus

T = TypeVar("T")

# The other backend never began; a path, for instance, may be right for the first one only.
_REFUSALS = (BackendUnavailable, InvalidRequest, ConfigurationError)
# Speakers, languages and recordings mean the same to all backends.
_BAD_EVERYWHERE = (UnknownSpeaker, UnsupportedLanguage, InvalidReferenceAudio)


class Fallback(Layer):
    """Asks another backend when the first one is unavailable, and says so.

    Only then: bad input stays bad, and a backend that tried and failed (out of memory, a runaway)
    has had its turn. What the other one delivers carries a warning.

    Args:
        first: Whoever is asked first.
        first_name: Its name.
        other: Makes whoever is asked instead; called when first needed.
        other_name: Its name.
        tell: Hears of every time.
        only_if_installed: Say nothing of the other backend where it cannot be used at all.
    """

    def __init__(
        self,
        first: Adapter,
        *,
        first_name: str,
        other: Callable[[], Adapter],
        other_name: str,
        tell: Listener,
        only_if_installed: bool = False,
    ) -> None:
        super().__init__(first)
        self._only_if_installed = only_if_installed
        self._first_name, self._other_name = first_name, other_name
        self._make_other = other
        self._other: Adapter | None = None
        self._making = threading.Lock()  # event loops of several threads may need it at once
        self._tell = tell

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``: that of the first backend, and who is asked instead."""
        status = await super().status()
        return replace(status, details={**status.details, "fallback": self._other_name})

    async def aclose(self) -> None:
        """See ``Adapter.aclose``; closes both."""
        try:
            await super().aclose()
        finally:
            if self._other is not None:
                await self._other.aclose()

    async def _handle(self, call: Call[T]) -> T:
        closings = self._closings
        try:
            return await super()._handle(call)
        except BackendUnavailable as unavailable:
            if closings != self._closings:
                raise
            first = unavailable
        try:
            other = self._get_other()
            if call.offered_by(other):
                self._tell(FellBack(call.operation, self._first_name, self._other_name, first))
                return _with_warning(await call.to(other), self._warning(first))
        except TTSError as second:
            missing = isinstance(second, BackendUnavailable) and not second.retryable
            if missing and self._only_if_installed:
                raise first from second
            raise self._both(first, second) from second
        raise first

    def _get_other(self) -> Adapter:
        with self._making:
            if self._other is None:
                self._other = self._make_other()
            return self._other

    def _warning(self, error: BackendUnavailable) -> str:
        return (
            f"{self._first_name} was unavailable, so this is {self._other_name}'s work: "
            f"{error.message}"
        )

    def _both(self, first: BackendUnavailable, second: TTSError) -> TTSError:
        """Return the error that tells of both.

        The other backend's refusal leaves the first one's trouble as it was; what went wrong while
        it worked is the news, and so is what nobody could do.
        """
        refused = isinstance(second, _REFUSALS) and not isinstance(second, _BAD_EVERYWHERE)
        error = copy.copy(first if refused else second)
        error.message = (
            f"{first.message} {self._other_name}, asked instead, failed too: {second.message}"
        )
        hints = dict.fromkeys(hint for hint in (first.hint, second.hint) if hint)
        error.hint = " ".join(hints) or None
        error.args = (error.message,)
        return error


def _with_warning(result: T, warning: str) -> T:
    if isinstance(result, Speech | TrainedVoice | Begun):
        return cast(T, replace(result, warnings=(*result.warnings, warning)))
    return result  # a list of speakers has no place for it
