"""The door through which recordings come in."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from storycore_tts.adapters.audio_intake.child import DECODER, Child, IntakeLimits, unreadable
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.errors import (
    BackendOverloaded,
    BackendUnavailable,
    RecordingTooLarge,
)

_RETRY_AFTER = 2.0  # s


class RecordingReader:
    """Reads recordings from people who need not be trusted.

    Each is decoded in a process of its own, with limits, that ends afterwards: a file that makes
    the decoder crash, hang or run wild is an error and no more. Nothing is unpickled, nothing is
    written to a disk. The next process is started ahead of time, since its start takes longer than
    most recordings.

    Args:
        limits: What one recording may cost.
        concurrency: How many are decoded at the same time.
        max_waiting: How many more may wait for their turn; each keeps its file in memory.
        worker: The script that the process runs; for tests.
    """

    def __init__(
        self,
        limits: IntakeLimits | None = None,
        *,
        concurrency: int = 2,
        max_waiting: int = 16,
        worker: Path = DECODER,
    ) -> None:
        self._limits = limits or IntakeLimits()
        self._worker = worker
        self._turns = asyncio.Semaphore(concurrency)
        self._capacity = concurrency + max_waiting
        self._admitted = 0
        self._threads = ThreadPoolExecutor(concurrency + 1, "storycore-tts-intake")
        self._spare: Child | None = None
        self._busy: set[Child] = set()
        self._closed = False

    async def __aenter__(self) -> RecordingReader:
        self._keep_a_spare()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def read(self, data: bytes, *, transcript: str | None = None) -> ReferenceAudio:
        """Decode a recording; cancelling the task ends its process.

        Args:
            data: The file, whatever it claims to be.
            transcript: What is said in it, word for word; None when unknown.

        Raises:
            RecordingTooLarge: It has too many bytes.
            UnsupportedRecording: It is no audio, or of a kind that is not accepted.
            InvalidReferenceAudio: Damaged, too long, too costly to decode, or nothing that can be
                cloned.
            InvalidRequest: The transcript is no text that can be spoken.
            BackendOverloaded: Too many recordings wait to be decoded already.
            BackendUnavailable: The reader is closed, or the system starts no more processes.
        """
        self._check(data)
        if self._admitted >= self._capacity:
            raise BackendOverloaded(
                f"{self._capacity} recordings are being decoded or wait for it.",
                hint="Send the recording again later.",
                retry_after=_RETRY_AFTER,
            )
        self._admitted += 1
        try:
            async with self._turns:
                return await self._decode(data, transcript)
        finally:
            self._admitted -= 1

    async def _decode(self, data: bytes, transcript: str | None) -> ReferenceAudio:
        if self._closed:
            raise _closed()
        child = self._next_child()
        try:
            return await self._read(child, data, transcript)
        finally:
            self._busy.discard(child)
            self._keep_a_spare()

    async def aclose(self) -> None:
        """End all processes; reads that still run fail. Safe to call twice."""
        self._closed = True
        for child in self._busy:
            child.kill()
        spare, self._spare = self._spare, None
        if spare is not None:
            self._threads.submit(spare.discard)
        await asyncio.to_thread(self._threads.shutdown)

    def _check(self, data: bytes) -> None:
        if len(data) > self._limits.max_bytes:
            raise RecordingTooLarge(
                f"The recording is {len(data)} bytes large; {self._limits.max_bytes} are the most.",
                hint="Cloning needs 0.5 s to 10 minutes of speech; 3 to 15 s work best.",
            )

    async def _read(self, child: Child, data: bytes, transcript: str | None) -> ReferenceAudio:
        job = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: ReferenceAudio(*child.decode(data), transcript)
        )
        job.add_done_callback(_seen)
        try:
            done, _ = await asyncio.wait({job}, timeout=self._limits.timeout)
        finally:  # ended already, or the time is up, or the task was cancelled
            child.kill()
            await asyncio.wait({job})
        if self._closed and job.exception():
            raise _closed()
        if not done:
            raise unreadable(f"decoding it takes more than {self._limits.timeout:g} s")
        return job.result()

    def _next_child(self) -> Child:
        spare, self._spare = self._spare, None
        if spare is not None and not spare.is_fit:
            self._threads.submit(spare.discard)
            spare = None
        child = spare or Child(self._worker, self._limits)
        self._busy.add(child)
        return child

    def _keep_a_spare(self) -> None:
        """Start the next process; if the system refuses, the read that needs it says so."""
        if self._spare is None and not self._closed:
            self._spare = Child(self._worker, self._limits)
            self._threads.submit(self._spare.start)


def _seen(job: asyncio.Future[ReferenceAudio]) -> None:
    """Look at the outcome, which a cancelled task leaves behind, lest asyncio complain of it."""
    if not job.cancelled():
        job.exception()


def _closed() -> BackendUnavailable:
    return BackendUnavailable("The reader of recordings is closed.", retryable=False)
