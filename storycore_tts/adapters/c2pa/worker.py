"""The subprocess: reads the manifest of one untrusted file, prints it as JSON, and exits.

Standard input holds the length of the trusted certificates (4 bytes, little-endian), these in PEM,
and the file. Standard output is an R as soon as the process is ready to read, then the JSON. The
parent starts it by its path and in isolation.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict


def main(memory: str, cpu_seconds: str, *paths: str) -> None:
    """Read the file on standard input, after giving up the rights that this does not need.

    Args:
        memory: Maximum address space in bytes.
        cpu_seconds: Maximum CPU time in seconds.
        paths: Additional entries for ``sys.path``.
    """
    sys.path += [path for path in paths if path not in sys.path]
    from storycore_tts.adapters.c2pa.package import c2pa_package
    from storycore_tts.adapters.c2pa.reader import read_manifest
    from storycore_tts.concurrency.sandbox import give_up_rights

    c2pa_package()  # before opening files is forbidden
    give_up_rights(int(memory), int(cpu_seconds))
    sys.stdout.write("R")
    sys.stdout.flush()
    length = int.from_bytes(sys.stdin.buffer.read(4), "little")
    authorities = sys.stdin.buffer.read(length).decode()
    manifest = read_manifest(sys.stdin.buffer.read(), authorities=authorities)
    found = None if manifest is None else {**asdict(manifest), "assertions": None}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
