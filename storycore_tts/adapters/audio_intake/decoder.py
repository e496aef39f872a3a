"""The subprocess: decodes one recording from standard input to standard output, then exits.

It is started by its path and in isolation, so it imports nothing of this package except the modules
that decode and that limit it. Before it reads more than the file's header, it drops its rights to
use more memory, CPU time, files, sockets and child processes than it needs.

Its output is a sequence of messages: one letter, the length of the body (4 bytes, little-endian)
and the body. R is the sample rate (4 bytes); S is a block of samples (float32 mono); U means that
the file format is not supported; E is an error message in UTF-8; D marks the end.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[2]
_HEAD = 1024  # bytes; see decoder_of


def main(memory: str, cpu_seconds: str, timeout: str, max_seconds: str, *paths: str) -> None:
    """Decode the recording on standard input.

    Args:
        memory: Maximum address space in bytes.
        cpu_seconds: Maximum CPU time in seconds.
        timeout: Wall-clock timeout in whole seconds, from the first byte.
        max_seconds: Maximum duration of the audio in seconds.
        paths: Additional entries for ``sys.path``.
    """
    sys.path += [path for path in paths if path not in sys.path]
    decoders = _loaded("sound/decoders.py")
    head = sys.stdin.buffer.read(1)  # a spare process may wait here for hours
    if not head:
        return
    if sys.platform != "win32":
        signal.alarm(int(timeout))  # a backup in case the parent dies
    head += sys.stdin.buffer.read(_HEAD - 1)
    decoder = decoders.decoder_of(head)
    if decoder not in (None, decoders.SNDFILE):
        _import_ffmpeg()  # before opening files is forbidden
    _give_up_rights(int(memory), int(cpu_seconds))
    data = head + sys.stdin.buffer.read()
    if decoder is None:
        _send(b"U", b"")
        return
    try:
        for tag, body in _messages(decoders, data, decoder, float(max_seconds)):
            _send(tag, body)
        _send(b"D", b"")
    except decoders.UndecodableAudio as error:
        _send(b"E", str(error).encode())
    except MemoryError:
        _send(b"E", f"decoding it takes more than {int(memory) // 2**20} MiB of memory".encode())


def _loaded(file: str) -> Any:
    """Return a module of this package, loaded by its path and without the package."""
    path = _PACKAGE / file
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _import_ffmpeg() -> None:
    """Import all of PyAV, including its lazily imported parts, if it is installed."""
    with suppress(ImportError):
        av = importlib.import_module("av")
        for module in pkgutil.walk_packages(av.__path__, "av."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _give_up_rights(memory: int, cpu_seconds: int) -> None:
    _loaded("concurrency/sandbox.py").give_up_rights(memory, cpu_seconds)


def _messages(
    decoders: Any, data: bytes, decoder: str, max_seconds: float
) -> Iterator[tuple[bytes, bytes]]:
    first, frames = True, 0
    for rate, samples in decoders.decoded(data, decoder, known_only=True):
        if first:
            yield b"R", struct.pack("<I", rate)
        first, frames = False, frames + len(samples)
        if frames > max_seconds * rate:
            raise decoders.UndecodableAudio(f"it is longer than {max_seconds:g} s")
        if len(samples):
            yield b"S", samples.astype("<f4").tobytes()


def _send(tag: bytes, body: bytes) -> None:
    sys.stdout.buffer.write(tag + struct.pack("<I", len(body)) + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
