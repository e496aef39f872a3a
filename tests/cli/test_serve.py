"""The command that serves, as its own process; what it serves is tested in tests/http."""

import os
import signal
import socket

import httpx
import pytest

POSIX = pytest.mark.skipif(os.name == "nt", reason="a process is told to stop in another way there")


@pytest.fixture
def serve(tmp_path, start, monkeypatch):
    """Starts the service as a process."""
    monkeypatch.setenv("STORYCORE_TTS_BACKEND", "draft")
    monkeypatch.setenv("STORYCORE_TTS_VOICES_DIR", str(tmp_path / "voices"))
    monkeypatch.setenv("STORYCORE_TTS_SERVER__STATE_DIR", str(tmp_path / "state"))
    return lambda *arguments: start("serve", *arguments)


@POSIX
def test_the_first_line_is_its_address_and_a_signal_ends_it_well(serve):
    process = serve("--port", "0")
    url = process.stdout.readline().strip()
    answer = httpx.post(f"{url}/ai/tts/qwen/generate", json={"text": "Hello."})
    assert answer.status_code == 200
    assert answer.content[:4] == b"RIFF"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_named(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = serve("--port", str(port))
        out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (2, "")
    assert f"Cannot listen on 127.0.0.1, port {port}" in err
    assert "--port N --state-dir FOLDER" in err
    assert "Traceback" not in err


@POSIX
def test_a_folder_that_another_service_has_is_refused(serve, tmp_path):
    serve("--port", "0").stdout.readline()
    process = serve("--port", "0")
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (4, "")
    assert "PostgreSQL" in err
    assert "Traceback" not in err
    assert "--state-dir FOLDER" in err
    beside = serve("--port", "0", "--state-dir", str(tmp_path / "other"))
    assert beside.stdout.readline().startswith("http://")
