"""Whether the server can be reached: known to HTTP and to the event stream alike.

While a server is down, hundreds of calls may want to know whether it is back. One of them tries
once in a while; the others fail at once with what the last attempt said.
"""

from __future__ import annotations

import asyncio
import random

import httpx

# s; so far apart that a name with two addresses, one after the other, stays below 3 attempts a
# second. Jittered, so that the clients of a server that restarts do not come in step.
_PAUSE = (1.0, 1.3)


class ReachabilityCache:
    """Remembers what the last attempt to connect to one server led to.

    ``reachable`` is cleared by a failed connect and set by an answer; ``answered`` is set by every
    answer, and cleared by the code that waits for the next one.
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
        if asyncio.get_running_loop().time() < self._again_at:
            raise type(self._error)(str(self._error)) from self._error
        self._wait_again()  # this call tries, and no other one meanwhile

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
        self._again_at = asyncio.get_running_loop().time() + random.uniform(*_PAUSE)
