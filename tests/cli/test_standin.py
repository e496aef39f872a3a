"""``storycore-tts standin``."""

import signal
import socket
import sys

import httpx
import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_interrupted(start, number):
    child = start("standin", "--port", 0, "--modern", "--instant", "--path-prefix", "/comfy")
    first = child.stdout.readline()
    assert first.startswith("listening on http://127.0.0.1:")
    url = first.split()[-1]
    answer = httpx.get(f"{url}/system_stats", timeout=60, trust_env=False).raise_for_status()
    assert answer.json()["system"]["comfyui_version"] == "0.36.0"
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (0, "", "")


def test_the_command_line_speaks_to_it(start, cli, tmp_path):
    child = start(
        "standin", "--instant", "--token", "abc", "--log", tmp_path / "log.jsonl",
        "--checkpoint", "/voices/mara=mara,mira",
    )  # fmt: skip
    url = child.stdout.readline().split()[-1]
    (tmp_path / "mine.yaml").write_text(
        f"tts: {{qwen: {{comfyui_url: '{url}', comfyui: {{headers: "
        "{Authorization: Bearer abc}}}}"
    )
    spoken = cli(
        "say", "Hi.", "--config", "mine.yaml", "--checkpoint", "/voices/mara", "-s", "mira"
    )
    assert spoken.status == 0
    assert "Submitted" in (tmp_path / "log.jsonl").read_text()


def test_what_it_cannot_do_is_2(cli):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, said in [
            (["--port", port], "cannot start on 127.0.0.1"),
            (["--checkpoint", "/voices/mara"], "PATH=SPEAKER"),  # without a speaker
        ]:
            answer = cli("standin", *arguments)
            assert answer.status == 2
            assert said in answer.err
