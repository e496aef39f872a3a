"""The parent's side of a subprocess that decodes one recording."""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from storycore_tts.concurrency import sandbox
from storycore_tts.errors import (
    BackendUnavailable,
    InvalidReferenceAudio,
    UnsupportedRecording,
)
from storycore_tts.sound.decoders import ACCEPTED
from storycore_tts.sound.samples import Samples

DECODER = Path(__file__).with_name("decoder.py")

_CONVERT = "Convert it to wav or flac (ffmpeg -i reference.amr reference.wav)."
_HEAD = struct.Struct("<cI")
_LONGEST_MESSAGE = 2**20  # bytes
_LONGEST_TEXT = 300  # characters of a message that are shown
_FASTEST_RATE = 384_000  # Hz
_SIGNALS = {int(number): number.name for number in signal.Signals}


@dataclass(frozen=True)
class IntakeLimits:
    """Limits for decoding one recording.

    Linux enforces all of them, macOS all but ``memory``. Windows enforces neither ``memory`` nor
    ``cpu_seconds``, only size, length and timeout, in a separate process.

    Args:
        max_bytes: Maximum size of the file in bytes.
        max_seconds: Maximum duration of the audio in seconds; a small file can unpack to hours.
        timeout: Wall-clock timeout in seconds, including the child's start.
        cpu_seconds: Maximum CPU time of the child in seconds, including its start.
        memory: Maximum address space of the child in bytes; Python and libsndfile need about
            150 MiB, with FFmpeg 250 MiB.
    """

    max_bytes: int = 25 * 2**20
    max_seconds: float = 120.0
    timeout: float = 20.0
    cpu_seconds: int = 10
    memory: int = 512 * 2**20


class _Broken(Exception):
    """The child ended before its answer was complete, or its answer is malformed."""


class Child:
    """A subprocess that waits for one recording, decodes it and exits.

    All methods except ``kill`` block, so call them in a thread; it need not always be the same one.

    Args:
        worker: The script that the process runs.
        limits: The limits to enforce.
    """

    def __init__(self, worker: Path, limits: IntakeLimits) -> None:
        self._worker = worker
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    @property
    def is_fit(self) -> bool:
        """Whether the process is running, or not started yet."""
        return self._process is None or self._process.poll() is None

    def start(self) -> None:
        """Start the process, unless it was started before.

        Raises:
            OSError: The system cannot start the process.
        """
        with self._lock:
            if self._process is None and not self._ended:
                self._process = subprocess.Popen(  # noqa: S603 — our interpreter, our script
                    self._command(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    # One thread per core would cost time and memory.
                    env={**sandbox.environment(), "OPENBLAS_NUM_THREADS": "1"},
                    cwd=sandbox.folder(),
                    start_new_session=True,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )

    def decode(self, data: bytes) -> tuple[Samples, int]:
        """Return mono samples and their rate in Hz. The process has ended afterwards.

        Args:
            data: The file.

        Raises:
            UnsupportedRecording: The format is not supported.
            InvalidReferenceAudio: The recording cannot be decoded, or the decoder crashed.
            BackendUnavailable: The process could not be started.
        """
        try:
            self.start()
        except OSError as error:
            raise BackendUnavailable(
                f"Cannot start the process that decodes recordings: {error}.",
                hint="The machine is out of memory or processes; try again later.",
            ) from error
        try:
            return self._answer(data)
        except (_Broken, OSError):  # OSError: the process has exited and closed the pipe
            raise unreadable(self._end()) from None
        finally:
            self._end()

    def kill(self) -> None:
        """Kill the process at once; ``decode`` then raises at once."""
        with self._lock:
            if not self._ended and self._process and self._process.poll() is None:
                _kill_group(self._process)
            self._ended = True

    def discard(self) -> None:
        """Kill an unused process."""
        self._end()

    def _answer(self, data: bytes) -> tuple[Samples, int]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise _Broken
        process.stdin.write(data)
        process.stdin.close()
        blocks, frames, rate = [np.zeros(0, np.float32)], 0, 0
        for tag, body in _messages(process.stdout):
            if tag == b"E":
                raise unreadable(_printable(body))
            if tag == b"U":
                raise UnsupportedRecording(
                    "The recording is not a supported audio file, judging by its first bytes.",
                    hint=f"Send one of: {ACCEPTED}.",
                )
            if tag == b"D":
                return np.concatenate(blocks), rate
            if tag == b"R" and len(body) == 4:
                rate = min(int.from_bytes(body, "little"), _FASTEST_RATE + 1)
            elif tag == b"S" and len(body) % 4 == 0:
                blocks.append(np.frombuffer(body, "<f4"))
                frames += len(blocks[-1])
            else:
                raise _Broken
            if frames > self._limits.max_seconds * rate:
                raise _Broken
        raise _Broken

    def _end(self) -> str:
        """Kill and reap the process; return why it ended."""
        self.kill()
        if self._process is None:
            return "its decoder was stopped"
        for pipe in (self._process.stdin, self._process.stdout):
            _close(pipe)
        return self._fate(self._process.wait())

    def _fate(self, status: int) -> str:
        if status >= 0:
            return f"its decoder failed (exit status {status})"
        name = _SIGNALS.get(-status, f"signal {-status}")
        if name == "SIGXCPU":
            return f"decoding it takes more than {self._limits.cpu_seconds} s of processor time"
        if name == "SIGALRM":
            return f"decoding it takes more than {self._limits.timeout:g} s"
        return f"its decoder crashed ({name})"

    def _command(self) -> list[str]:
        limits = self._limits
        numbers = (limits.memory, limits.cpu_seconds, math.ceil(limits.timeout), limits.max_seconds)
        return sandbox.command(self._worker, *numbers)


def unreadable(why: str) -> InvalidReferenceAudio:
    """Return the error for a recording that could not be decoded."""
    return InvalidReferenceAudio(f"Cannot read the recording: {why}.", hint=_CONVERT)


def _messages(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    while len(head := stream.read(_HEAD.size)) == _HEAD.size:
        tag, length = _HEAD.unpack(head)
        if length > _LONGEST_MESSAGE or len(body := stream.read(length)) < length:
            return
        yield tag, body


def _printable(text: bytes) -> str:
    shown = text.decode("utf-8", "replace")[:_LONGEST_TEXT]
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _close(pipe: IO[bytes] | None) -> None:
    with suppress(OSError):  # unwritten data is dropped
        if pipe is not None:
            pipe.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and any processes that it started."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError):  # already exited
        os.killpg(process.pid, signal.SIGKILL)
