"""Reads untrusted recordings with a pool of decoder subprocesses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from storycore_tts.adapters.audio_intake.child import DECODER, Child, IntakeLimits, unreadable
from storycore_tts.concurrency.admission import Admission
from storycore_tts.concurrency.closing import AsyncCloseable
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.errors import BackendUnavailable, RecordingTooLarge
from storycore_tts.sound.samples import Samples

T = TypeVar("T")
_Use: TypeAlias = Callable[[tuple[Samples, int]], T]


class RecordingReader(AsyncCloseable):
    """Reads recordings from untrusted sources.

    Each is decoded in its own process with resource limits, so a file that makes the decoder crash,
    hang or use too many resources only causes an error. Nothing is unpickled or written to disk.
    The next process is started ahead of time, since starting takes longer than decoding most
    recordings.

    Args:
        limits: Limits for one recording.
        concurrency: Maximum number of recordings decoded at a time.
        max_waiting: Maximum number of recordings that wait; each keeps its file in memory.
        worker: Replaces the script that the process runs, for tests.
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
        self._admission = Admission(
            concurrency,
            max_waiting,
            state="recordings are being decoded or are waiting",
            hint="Send the recording again later.",
        )
        self._threads = ThreadPoolExecutor(concurrency + 1, "storycore-tts-intake")
        self._spare: Child | None = None
        self._busy: set[Child] = set()
        self._closed = False

    @property
    def max_bytes(self) -> int:
        """Maximum size of a file in bytes."""
        return self._limits.max_bytes

    async def __aenter__(self) -> RecordingReader:
        self._keep_a_spare()
        return self

    async def read(self, data: bytes, *, transcript: str | None = None) -> ReferenceAudio:
        """Decode a recording. Cancelling the task kills its process.

        Args:
            data: The file, in any supported format.
            transcript: The exact words spoken in it; None if unknown.

        Raises:
            RecordingTooLarge: The file is larger than ``max_bytes``.
            UnsupportedRecording: The file is not audio, or its format is not supported.
            InvalidReferenceAudio: The recording is damaged, too long, too expensive to decode, or
                not suitable for cloning.
            InvalidRequest: The transcript cannot be spoken.
            BackendOverloaded: Too many recordings are waiting to be decoded.
            BackendUnavailable: The reader is closed, or the system cannot start the process.
        """
        return await self._in_turn(data, lambda it: ReferenceAudio(*it, transcript))

    async def samples(self, data: bytes) -> tuple[Samples, int]:
        """Decode any sound to mono samples and their rate in Hz; otherwise like ``read``.

        Args:
            data: The file, in any supported format.

        Raises:
            InvalidReferenceAudio: See ``read``.
            BackendUnavailable: See ``read``.
        """
        return await self._in_turn(data, lambda it: it)

    async def _in_turn(self, data: bytes, use: _Use[T]) -> T:
        self._check(data)
        async with self._admission.turn():
            return await self._decode(data, use)

    async def _decode(self, data: bytes, use: _Use[T]) -> T:
        if self._closed:
            raise _closed()
        child = self._next_child()
        try:
            return await self._read(child, data, use)
        finally:
            self._busy.discard(child)
            self._keep_a_spare()

    async def aclose(self) -> None:
        """Kill all processes; reads in progress fail. Safe to call twice."""
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
                f"The recording is {len(data)} bytes; the maximum is {self._limits.max_bytes}.",
                hint="Cloning needs 0.5 s to 10 minutes of speech; 3 to 15 s work best.",
            )

    async def _read(self, child: Child, data: bytes, use: _Use[T]) -> T:
        job = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: use(child.decode(data))
        )
        job.add_done_callback(_seen)
        try:
            done, _ = await asyncio.wait({job}, timeout=self._limits.timeout)
        finally:  # finished, timed out or cancelled
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
        """Start the next process; if that fails, the read that needs it raises the error."""
        if self._spare is None and not self._closed:
            self._spare = Child(self._worker, self._limits)
            self._threads.submit(self._spare.start)


def _seen(job: asyncio.Future[Any]) -> None:
    """Retrieve the outcome of an abandoned task, so that asyncio does not log a warning."""
    if not job.cancelled():
        job.exception()


def _closed() -> BackendUnavailable:
    return BackendUnavailable("The reader of recordings is closed.", retryable=False)
