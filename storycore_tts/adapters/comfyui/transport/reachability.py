"""Whether the server is reachable, shared by HTTP and the event stream.

While a server is down, many calls may try to reach it. Only one of them tries at intervals; the
others fail immediately with the last error.
"""

from __future__ import annotations

import asyncio
import random

import httpx

# s; even for a host name with two addresses, this is fewer than 3 attempts per second. With jitter,
# so that the clients of a restarted server do not all connect at once.
_PAUSE = (1.0, 1.3)


class ReachabilityCache:
    """Remembers the result of the last attempt to connect to a server.

    ``reachable`` is cleared by a failed connection and set by a response. ``answered`` is set by
    every response, and cleared by code that waits for the next one.
    """

    def __init__(self) -> None:
        self.reachable = asyncio.Event()
        self.reachable.set()
        self.answered = asyncio.Event()
        self.ever_answered = False
        self._error: httpx.TransportError | None = None
        self._again_at = 0.0

    def check(self) -> None:
        """Raise the error of the last attempt to connect, if it was just now.

        Raises:
            httpx.TransportError: The last error; no connection was attempted.
        """
        if self._error is None:
            return
        if asyncio.get_running_loop().time() < self._again_at:
            raise type(self._error)(str(self._error)) from self._error
        self._wait_again()  # only this call tries to connect

    def failed(self, error: httpx.TransportError) -> None:
        """Record a failed connection."""
        self._error = error
        self.reachable.clear()
        self._wait_again()

    def answer(self) -> None:
        """Record a response of any kind."""
        self._error = None
        self.ever_answered = True
        self.reachable.set()
        self.answered.set()

    def _wait_again(self) -> None:
        self._again_at = asyncio.get_running_loop().time() + random.uniform(*_PAUSE)
