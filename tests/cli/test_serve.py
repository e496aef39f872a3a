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
def test_the_first_line_is_its_address_its_folder_is_its_own_and_a_signal_ends_it_well(
    serve, tmp_path
):
    chosen = ("--port", "0", "--state-dir", str(tmp_path / "other"))
    process = serve(*chosen)
    url = process.stdout.readline().strip()
    second = serve(*chosen)
    out, err = second.communicate(timeout=100)
    assert (second.returncode, out) == (4, "")
    assert "PostgreSQL" in err
    assert "Traceback" not in err
    assert "--state-dir FOLDER" in err
    assert not (tmp_path / "state").exists()
    answer = httpx.post(f"{url}/ai/tts/qwen/generate", timeout=60, json={"text": "Hello."})
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
