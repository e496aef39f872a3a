"""How much one uploaded recording may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IntakeLimits:
    """Limits of one recording.

    Linux enforces all of them, macOS all but ``memory``. Windows has neither ``memory`` nor
    ``cpu_seconds``; there the size, the length, the timeout and the separate process remain.

    Args:
        max_bytes: Of the file as it was sent.
        max_seconds: Of audio in it; a small file can unpack to hours.
        timeout: Seconds on the clock, the child's start included.
        cpu_seconds: Seconds of processor time in the child, its start included.
        memory: Bytes of address space of the child; Python and libsndfile take about 150 MiB,
            with FFmpeg 250.
    """

    max_bytes: int = 25 * 2**20
    max_seconds: float = 120.0
    timeout: float = 20.0
    cpu_seconds: int = 10
    memory: int = 512 * 2**20
