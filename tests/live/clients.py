"""Runs well-known clients of OpenAI's speech API against this service, and shows a table.

    python tests/live/clients.py FOLDER [NAME ...]

Each client is installed from its package registry into a folder of its own below FOLDER, unless it
is there; the service speaks with the draft backend. wyoming-openai needs Python 3.12 (--newer), the
npm package needs Node. The exit status is 1 if a client fails.
"""

# ruff: noqa: T201 - it prints its report

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storycore_tts import QwenTTSConfig
from storycore_tts.sound.files import decode
from storycore_tts.sound.samples import peak
from storycore_tts.testing.service import serving

HERE = Path(__file__).parent / "clients"
LINE = "Once upon a time, a small robot learned to sing. Then it sang all day."
PATIENCE = 300  # s for one client


@dataclass(frozen=True)
class Client:
    """A package, and the script that uses it."""

    package: str
    script: str
    newer: bool = False


CLIENTS = {
    "openai": Client("openai", "ask_openai.py"),
    "openai-node": Client("openai", "ask_openai.mjs"),
    "livekit": Client("livekit-plugins-openai", "ask_livekit.py"),
    "pipecat": Client("pipecat-ai[openai]", "ask_pipecat.py"),
    "wyoming": Client("wyoming-openai", "ask_wyoming.py", newer=True),
}


class Failed(Exception):
    """A client that could not be installed, or did not get what it expects."""


def main() -> int:
    """Run the clients that are named, or all; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CLIENTS))
    parser.add_argument("--newer", default="python3.12", help="A Python of at least 3.12.")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="live-clients-") as state:
        server = {"port": 0, "state_dir": state}
        config = QwenTTSConfig(
            backend="draft", fallback=None, voices_dir=f"{state}/voices", server=server
        )
        with serving(config) as url:
            for name in given.names or CLIENTS:
                try:
                    _run(name, url, given.folder.absolute(), given.newer)
                except Failed as error:
                    failed += 1
                    _row(name, "", "FAILED", str(error))
    return 1 if failed else 0


def _run(name: str, url: str, folder: Path, newer: str) -> None:
    client = CLIENTS[name]
    command = _installed(client, folder / name, newer)
    with tempfile.TemporaryDirectory(dir=folder) as sounds:
        told = _output([*command, url, sounds, LINE], cwd=folder / name)
        for line in told.splitlines():
            answer = json.loads(line)
            _row(name, answer["version"], answer["asked"], _heard(Path(answer["file"])))


def _installed(client: Client, place: Path, newer: str) -> list[str]:
    """Install a client unless it is there; return the command that its arguments are added to."""
    if client.script.endswith(".mjs"):
        if not (place / "node_modules").exists():
            place.mkdir(parents=True, exist_ok=True)
            _output(["npm", "install", "--silent", client.package], cwd=place)
        shutil.copy(HERE / client.script, place)  # Node looks for packages beside the script
        return ["node", client.script]
    python = place / "bin" / "python"
    if not python.exists():
        base = newer if client.newer else sys.executable
        _output([base, "-m", "venv", str(place)])
        _output([str(python), "-m", "pip", "install", "--quiet", client.package])
    return [str(python), str(HERE / client.script)]


def _output(command: list[str], cwd: Path | None = None) -> str:
    try:
        ran = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from None
    if ran.returncode:
        raise Failed(f"{command[0]}: {(ran.stderr or ran.stdout).strip()[-800:]}")
    return ran.stdout


def _heard(file: Path) -> str:
    """Describe a sound file, which must hold all of the line."""
    data, kind = file.read_bytes(), file.suffix[1:]
    samples, rate = np.frombuffer(data, "<i2") / 32_768, 24_000
    if kind != "pcm":
        samples, rate = decode(data)
    seconds = len(samples) / rate
    if peak(samples.astype(np.float32)) < 0.05 or not 3 < seconds < 15:
        raise Failed(f"{file.name}: {len(data)} bytes, {seconds:.1f} s, and not the line")
    return f"{len(data):>8} bytes  {seconds:5.2f} s  {kind}"


def _row(name: str, version: str, asked: str, answer: str) -> None:
    print(f"{name:<12} {version:<8} {asked:<45} {answer}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
