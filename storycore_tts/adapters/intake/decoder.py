"""The child: decodes one recording from standard input to standard output, then ends.

It is started by its path and in isolation, so it imports nothing of this package. Before it reads
a byte it gives up whatever it will not need: memory, processor time, files, sockets, children.

It answers with messages: one letter, the length of what follows (4 bytes, little-endian), and that.
R is the sample rate (4 bytes); S are samples (float32 mono); E says in UTF-8 why there are none, or
no more; D is the end.
"""

from __future__ import annotations

import io
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any

_CONTAINERS = {"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF"}
_CODECS = {
    *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"),
    *("VORBIS", "OPUS", "MPEG_LAYER_III"),
}
_MOST_CHANNELS = 32
_BLOCK = 2**16  # samples of all channels that are decoded at a time


class _Refused(Exception):
    """Says to a person why this recording is not taken."""


class _Memory(io.BytesIO):
    """A file's bytes; offsets from a damaged header are ignored, as libsndfile's callbacks want."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def main(memory: str, cpu_seconds: str, timeout: str, max_seconds: str, *paths: str) -> None:
    """Decode what comes in on standard input.

    Args:
        memory: Bytes of address space.
        cpu_seconds: Seconds of processor time.
        timeout: Seconds on the clock from the first byte on, whole ones.
        max_seconds: Of audio.
        paths: Where packages are found, besides the interpreter's own places.
    """
    sys.path += [path for path in paths if path not in sys.path]
    import soundfile

    _give_up_rights(int(memory), int(cpu_seconds))
    first = sys.stdin.buffer.read(1)  # a spare waits here, maybe for hours
    if not first:
        return
    if sys.platform != "win32":
        signal.alarm(int(timeout))  # the parent keeps time too, as long as it lives
    data = first + sys.stdin.buffer.read()
    try:
        for tag, body in _decoded(soundfile, data, float(max_seconds)):
            _send(tag, body)
        _send(b"D", b"")
    except _Refused as refusal:
        _send(b"E", str(refusal).encode())
    except MemoryError:
        _send(b"E", f"decoding it takes more than {int(memory) // 2**20} MiB of memory".encode())
    except (soundfile.SoundFileError, ValueError, OverflowError) as error:
        _send(b"E", f"it is no readable audio file: {str(error).rstrip('.')}".encode())


def _give_up_rights(memory: int, cpu_seconds: int) -> None:
    if sys.platform == "win32":  # has no such limits
        return
    import resource

    wanted = {
        "RLIMIT_AS": (memory, memory),
        "RLIMIT_CPU": (cpu_seconds, cpu_seconds + 1),  # first SIGXCPU, which tells why; then KILL
        "RLIMIT_NOFILE": (3, 3),  # the three that are open; no file and no socket more
        "RLIMIT_NPROC": (0, 0),
        "RLIMIT_FSIZE": (0, 0),
        "RLIMIT_CORE": (0, 0),
    }
    for name, limit in wanted.items():
        try:
            resource.setrlimit(getattr(resource, name), limit)
        except (AttributeError, ValueError, OSError):  # not every system has, or allows, each
            continue


def _decoded(soundfile: Any, data: bytes, max_seconds: float) -> Iterator[tuple[bytes, bytes]]:
    with soundfile.SoundFile(_Memory(data)) as file:
        if file.format not in _CONTAINERS or file.subtype not in _CODECS:
            raise _Refused(f"it holds {file.subtype_info} in {file.format_info}")
        if file.channels > _MOST_CHANNELS:
            raise _Refused(f"it has {file.channels} channels; {_MOST_CHANNELS} are the most")
        yield b"R", struct.pack("<I", file.samplerate)
        frames, most = 0, max_seconds * file.samplerate
        while len(block := file.read(_BLOCK // file.channels, dtype="float32", always_2d=True)):
            frames += len(block)
            if frames > most:
                raise _Refused(f"it is longer than {max_seconds:g} s")
            yield b"S", block.mean(axis=1, dtype="<f4").tobytes()
        if frames < file.frames:
            raise _Refused(f"it ends after {frames} of the {file.frames} frames that it announces")


def _send(tag: bytes, body: bytes) -> None:
    sys.stdout.buffer.write(tag + struct.pack("<I", len(body)) + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
