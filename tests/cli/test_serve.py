"""The command that serves, as its own process; what it serves is tested in tests/http."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

POSIX = pytest.mark.skipif(os.name == "nt", reason="a process is told to stop in another way there")


@pytest.fixture
def serve(tmp_path):
    """Return what starts the service and returns its process."""
    processes = []

    def start(*arguments, **settings):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STORYCORE_TTS_")}
        ours = {
            "BACKEND": "draft",
            "VOICES_DIR": str(tmp_path / "voices"),
            "SERVER__STATE_DIR": str(tmp_path / "state"),
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "storycore_tts.entrypoints.cli", "serve", *arguments],
            env={**environment, **{f"STORYCORE_TTS_{k}": v for k, v in ours.items()}},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def refused(process):
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert "Traceback" not in err
    return process.returncode, err


@POSIX
def test_the_first_line_is_its_address_and_a_signal_ends_it_well(serve):
    process = serve("--port", "0")
    url = process.stdout.readline().strip()
    answer = httpx.post(f"{url}/ai/tts/qwen/generate", json={"text": "Hello."})
    assert answer.status_code == 200
    assert answer.content[:4] == b"RIFF"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_named(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = refused(serve("--port", str(port)))
    assert status == 2
    assert f"Cannot listen on 127.0.0.1, port {port}" in said
    assert "--port" in said


def test_other_machines_are_let_in_with_a_key_only(serve):
    status, said = refused(serve("--host", "0.0.0.0", "--port", "0"))
    assert status == 2
    assert "no key keeps anybody out" in said
    assert "storycore-tts keys new" in said


@POSIX
def test_a_folder_that_another_service_has_is_refused(serve):
    serve("--port", "0").stdout.readline()
    status, said = refused(serve("--port", "0"))
    assert status == 4
    assert "PostgreSQL" in said


def test_a_database_that_is_not_there_is_named_without_its_password(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"postgresql://mia:very-secret@127.0.0.1:{port}/jobs"
    status, said = refused(serve("--port", "0", SERVER__DATABASE_URL=url))
    assert status == 4
    assert "127.0.0.1" in said
    assert "very-secret" not in said
