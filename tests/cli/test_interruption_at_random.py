"""Ctrl-C at any moment: 130, or the end of a service; no traceback, and no job on the server."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import httpx
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

# The console script as pip writes it; a byte on stderr says that it heeds signals from now on.
SCRIPT = """
import os, sys
told = []
def hook(event, arguments):
    if event == "import" and arguments[0] == "storycore_tts" and not told:
        told.append(os.write(2, b"!"))
sys.addaudithook(hook)
from storycore_tts_cli import main
sys.exit(main())
"""
LINE = "Once upon a time there was a lighthouse, and nobody knew who had built it."
COMMANDS = {
    "say": ("say", LINE, "--url"),
    "clone": ("clone", "reference.wav", LINE, "--url"),
    "demo": ("demo",),
    "serve": ("serve", "--port", "0", "--url"),
}
# s, beginning when signals are heeded; each ends, or serves, in about three on an idle machine.
LAST = {"say": 3.0, "clone": 3.5, "demo": 4.0, "serve": 5.0}


@pytest.fixture
def server(standin_comfyui_factory):
    """A stand-in that takes a while to speak."""
    return standin_comfyui_factory(instant=True, model_load_seconds=0.2, seconds_per_step=0.1)


@pytest.fixture
def begin(tmp_path, monkeypatch, recording):
    """Starts a command in a session of its own, and waits until it heeds signals."""
    monkeypatch.setenv("STORYCORE_TTS_VOICES_DIR", str(tmp_path / "voices"))
    monkeypatch.setenv("STORYCORE_TTS_SERVER__STATE_DIR", str(tmp_path / "state"))
    shutil.copy(recording, tmp_path / "reference.wav")
    children = []

    def start(*arguments):
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        children.append(child)
        assert child.stderr.read(1) == b"!"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def interrupted(begin, server):
    """Interrupts a command after so many seconds; its status and stderr, None if it was done."""

    def run(name, delay):
        needed = (server.url,) if COMMANDS[name][-1] == "--url" else ()
        child = begin(*COMMANDS[name], *needed)
        client = threading.Thread(target=_ask, args=(child.stdout,), daemon=True)
        if name == "serve":
            client.start()
        time.sleep(delay)  # the moment is what is drawn
        if child.poll() is not None:
            return None
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: all processes at once
        if name == "serve":
            client.join(60)
        _, err = child.communicate(timeout=60)
        return child.returncode, err.decode()

    return run


def _ask(stdout):
    """Ask a service for a line as soon as it listens."""
    if url := stdout.readline().decode().strip():
        with suppress(httpx.HTTPError):
            httpx.post(f"{url}/v1/audio/speech", json={"input": LINE}, timeout=60)


def check(name, status, err):
    assert "Traceback" not in err, err
    # A signal after the interpreter has put its handlers away ends it; a shell calls that 130 too.
    ends = (130, -signal.SIGINT) if name != "serve" else (0, 130, -signal.SIGINT)
    assert status in ends, f"{name}: {status}: {err}"


@pytest.mark.parametrize("number", [1, 30, 200, 700])
def test_a_signal_while_packages_are_imported(number):
    """A hook that the interpreter calls before each import sends it."""
    code = f"""
import signal, sys
seen = []
def hook(event, arguments):
    if event == "import" and (seen or arguments[0] == "storycore_tts"):
        seen.append(arguments[0])
        if len(seen) == {number}:
            signal.raise_signal(signal.SIGINT)
sys.addaudithook(hook)
from storycore_tts_cli import main
sys.exit(main())
"""
    run = [sys.executable, "-c", code, "say", LINE, "--backend", "draft", "-o", "-"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: Interrupted.\n"


@pytest.mark.parametrize("name", ["say", "clone"])
def test_a_line_that_would_never_end(interrupted, server, name):
    """The server holds each job, so that only an interruption takes it away."""
    gate = server.faults.hold("running", times=None)
    for _ in range(2):
        delay = random.uniform(0, LAST[name])
        status, err = interrupted(name, delay)
        check(name, status, f"after {delay:.3f} s: {err}")
    gate.release()
    assert server.log.wait_for(
        lambda log: sorted([*log.interrupted, *log.deleted]) == sorted(log.submitted), 20
    )


@pytest.mark.parametrize("name", ["demo", "serve"])
def test_another_command(interrupted, server, name):
    for _ in range(2):
        delay = random.uniform(0, LAST[name])
        if ended := interrupted(name, delay):
            check(name, ended[0], f"after {delay:.3f} s: {ended[1]}")
    nothing_left(server)


@pytest.mark.soak
def test_sixty_times(interrupted, server):
    """Until the end of each command: until sixty were interrupted before it came."""
    ends = Counter()
    while ends.total() < 60:
        name = random.choice([*COMMANDS])
        delay = random.uniform(0, LAST[name])
        if ended := interrupted(name, delay):
            check(name, ended[0], f"after {delay:.3f} s: {ended[1]}")
            ends[name, ended[0]] += 1
            nothing_left(server)
    print(ends)  # noqa: T201 - what the run is for


def nothing_left(server):
    queue = httpx.get(f"{server.url}/queue", timeout=60).json()
    assert not any(queue.values()), queue
