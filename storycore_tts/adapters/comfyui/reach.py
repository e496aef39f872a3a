"""Whether connections to the server succeed: known to HTTP and to the event stream alike.

While a server is down there may be hundreds who want to know whether it is back. One of them tries,
now and then; the others are told at once what came of it.
"""

from __future__ import annotations

import asyncio
import random
import time

import httpx

# s; so far apart that a name with two addresses, one after the other, stays below 3 attempts a
# second. Jittered, so that the clients of a server that restarts do not come in step.
_PAUSE = (1.0, 1.3)


class Reach:
    """The memory of what connecting to one server led to.

    ``reachable`` is cleared by a failed connect and set by an answer; ``answered`` is set by every
    answer, and cleared by whoever waits for the next one.
    """

    def __init__(self) -> None:
        self.reachable = asyncio.Event()
        self.reachable.set()
        self.answered = asyncio.Event()
        self.ever_answered = False
        self._error: httpx.TransportError | None = None
        self._again_at = 0.0

    def check(self) -> None:
        """Fail like the last attempt to connect did, if that was a moment ago.

        Raises:
            httpx.TransportError: The same as then; the network was not touched.
        """
        if self._error is None:
            return
        if time.monotonic() < self._again_at:
            raise type(self._error)(str(self._error)) from self._error
        self._wait_again()  # this one tries, and nobody else meanwhile

    def failed(self, error: httpx.TransportError) -> None:
        """Remember that a connection could not be made."""
        self._error = error
        self.reachable.clear()
        self._wait_again()

    def answer(self) -> None:
        """Remember that the server answered, whatever it said."""
        self._error = None
        self.ever_answered = True
        self.reachable.set()
        self.answered.set()

    def _wait_again(self) -> None:
        self._again_at = time.monotonic() + random.uniform(*_PAUSE)
