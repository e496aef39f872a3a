"""Waits for a time authority, but not for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from storycore_tts.errors import MarkingFailed

_PATIENCE = 5.0  # s
_REST = 60.0  # s without further attempts, after one that failed


class TimeAuthority:
    """A server that confirms the time of signatures (RFC 3161).

    c2pa asks it and waits up to 30 s. Here, a signature is given up sooner: its thread ends by
    itself, and until then nothing waits for it.

    Args:
        url: Its address.
        patience: Maximum duration of a signature, in seconds.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._patience, self._clock = patience, clock
        self._rests_until = clock()
        self._failed = ""

    def signed(self, sign: Callable[[], bytes]) -> bytes:
        """Return what ``sign`` returns. Blocks.

        For a minute after a failure, it fails at once.

        Args:
            sign: Signs a file and asks the authority.

        Raises:
            MarkingFailed: The authority did not answer in time, or the file cannot be signed.
        """
        if self._clock() < self._rests_until:
            raise self._failure(f"{self._failed}; it is asked again within a minute")
        answer: SimpleQueue[bytes | MarkingFailed] = SimpleQueue()

        def work() -> None:
            try:
                answer.put(sign())
            except MarkingFailed as error:
                answer.put(error)

        threading.Thread(target=work, name="c2pa-time-stamp", daemon=True).start()
        try:
            given = answer.get(timeout=self._patience)
        except Empty:
            given = MarkingFailed(f"no answer within {self._patience:g} s")
        if isinstance(given, bytes):
            return given
        self._failed, self._rests_until = given.message, self._clock() + _REST
        raise self._failure(given.message) from given

    def _failure(self, reason: str) -> MarkingFailed:
        return MarkingFailed(
            f"The time authority {self.url} confirmed no signature: {reason}.",
            hint="Check tts.qwen.marking.time_authority, or set it to null.",
        )
