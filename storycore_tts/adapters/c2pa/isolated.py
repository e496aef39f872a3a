"""Reads manifests of untrusted files, each in a process of its own with limits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, PIPE

from pydantic import TypeAdapter, ValidationError

from storycore_tts.concurrency import sandbox
from storycore_tts.concurrency.waiting import unbroken, within
from storycore_tts.errors import BackendUnavailable
from storycore_tts.ports.inspecting import Manifest, ManifestProblem

_WORKER = Path(__file__).with_name("worker.py")
_LONGEST_ANSWER = 2**20  # bytes
_READY = b"R"


@dataclass(frozen=True)
class IsolatedManifests:
    """Reads manifests; a file that makes the reader crash is called damaged.

    Linux enforces all limits, macOS all but ``memory``, Windows only the timeout.

    Args:
        authorities: Certificates in PEM whose holders are trusted.
        timeout: Wall-clock timeout for one file in seconds, including the process's start.
        cpu_seconds: Maximum CPU time for one file in seconds.
        memory: Maximum address space in bytes, besides four times the size of the file.
        worker: Replaces the script that the process runs, for tests.
    """

    authorities: str = field(default="", repr=False)
    timeout: float = 30.0
    cpu_seconds: int = 20
    memory: int = 1024 * 2**20
    worker: Path = _WORKER

    async def read(self, data: bytes) -> Manifest | None:
        """Return the verified manifest of a file; None if there is none.

        Args:
            data: The file.

        Raises:
            BackendUnavailable: The process could not be started, or did not answer in time.
        """
        process = await self._started(len(data))
        try:
            answer = await within(self.timeout, self._exchange(process, data))
        except asyncio.TimeoutError:
            raise BackendUnavailable(
                f"Reading the signature takes more than {self.timeout:g} s.",
                hint="The machine is busy, or the file is made to keep it busy; try again later.",
            ) from None
        finally:
            if process.returncode is None:  # too late, or this task was cancelled
                with suppress(ProcessLookupError):
                    process.kill()
                await unbroken(process.wait())
        if not answer.startswith(_READY):
            raise BackendUnavailable(
                "The process that reads signatures fails before it has seen the file.",
                hint="Is c2pa-python complete? Run: pip install 'storycore-tts[trust]'",
                retryable=False,
            )
        try:
            return _answers().validate_json(answer.removeprefix(_READY))
        except ValidationError:
            return _UNREADABLE

    async def _started(self, size: int) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *sandbox.command(self.worker, self.memory + 4 * size, self.cpu_seconds),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=sandbox.environment(),
                cwd=sandbox.folder(),
                limit=_LONGEST_ANSWER,
            )
        except OSError as error:
            raise BackendUnavailable(
                f"Cannot start the process that reads signatures: {error}.",
                hint="The machine is out of memory or processes; try again later.",
            ) from error

    async def _exchange(self, process: asyncio.subprocess.Process, data: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        authorities = self.authorities.encode()
        with suppress(BrokenPipeError, ConnectionResetError):  # it crashed: the answer is empty
            process.stdin.write(len(authorities).to_bytes(4, "little") + authorities)
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.close()
        try:
            await process.stdout.readexactly(_LONGEST_ANSWER)
        except asyncio.IncompleteReadError as ended:
            await process.wait()
            return ended.partial
        return _READY  # and nothing else, as of one that crashed


@cache
def _answers() -> TypeAdapter[Manifest | None]:
    """Return what checks an answer, since the process may have been taken over by the file."""
    return TypeAdapter(Manifest | None)


_UNREADABLE = Manifest(
    valid=False,
    trusted=False,
    changed=None,
    problems=(
        ManifestProblem(
            "manifest.unreadable", "The file or its manifest is damaged: reading it failed."
        ),
    ),
)
