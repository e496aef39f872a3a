"""``storycore-tts doctor``."""

import json
import re
import subprocess
import sys

from storycore_tts import __version__
from storycore_tts.testing.comfyui import NodePackMissing

DOWN = "http://127.0.0.1:9"


def test_all_is_well(cli, server):
    answer = cli("doctor", "--url", server.url, "--json")
    assert answer.status == 0
    told = answer.json
    assert (told["backend"], told["usable"]) == ("comfyui", True)
    assert told["storycore_tts"] == __version__
    assert told["settings"]["comfyui_url"] == {"value": server.url, "source": "--url"}
    assert told["settings"]["generation.top_p"] == {"value": 0.8, "source": "default"}
    comfyui = told["backends"]["comfyui"]
    assert comfyui["reachable"]
    assert comfyui["version"] == "0.3.64"
    assert comfyui["models"][0] == "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"
    assert comfyui["problems"] == []
    assert "as in 1.0.6" in comfyui["details"]["FB_Qwen3TTSCustomVoice"]
    assert told["backends"]["draft"]["reachable"]


def test_the_tables_say_the_same(cli, server):
    answer = cli("doctor", "--url", server.url)
    assert answer.status == 0
    for said in ["comfyui (configured)", "ready", "0.3.64", "as in 1.0.6", "--url", server.url]:
        assert said in answer.out
    assert answer.err == ""


def test_everything_is_down(cli):
    answer = cli("doctor", "--url", DOWN)
    assert answer.status == 3
    assert "not usable" in answer.out
    assert f"comfyui: Cannot reach ComfyUI at {DOWN}" in answer.out
    assert "  advice: Start ComfyUI" in answer.out


def test_another_backend_may_be_usable(cli):
    told = cli("doctor", "--backend", "draft", "--url", DOWN, "--json")
    assert told.status == 0
    assert told.json["usable"] is True
    assert told.json["backends"]["comfyui"]["reachable"] is False


def test_the_node_pack_is_missing(cli, server):
    server.faults.add(NodePackMissing())
    answer = cli("doctor", "--url", server.url, "--json")
    assert answer.status == 3
    comfyui = answer.json["backends"]["comfyui"]
    assert comfyui["version"] == "0.3.64"
    assert comfyui["details"]["FB_Qwen3TTSCustomVoice"] == "missing"
    assert len(comfyui["problems"]) == 3
    assert all(problem["advice"] for problem in comfyui["problems"])


def test_where_each_value_came_from(cli, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("tts: {qwen: {generation: {top_p: 0.5}, device: cpu}}")
    monkeypatch.setenv("STORYCORE_TTS_GENERATION__TOP_K", "5")
    monkeypatch.setenv("STORYCORE_TTS_DEVICE", "mps")
    told = cli(
        "doctor", "--config", "mine.yaml", "--device", "auto", "--backend", "draft", "--json"
    ).json["settings"]
    assert told["generation.top_p"] == {"value": 0.5, "source": "mine.yaml"}
    assert told["generation.top_k"]["source"] == (
        "environment variable STORYCORE_TTS_GENERATION__TOP_K"
    )
    assert told["device"] == {"value": "auto", "source": "--device"}
    assert told["generation.seed"] == {"value": None, "source": "default"}


def test_headers_are_never_shown(cli, tmp_path, server):
    (tmp_path / "mine.yaml").write_text(
        "tts: {qwen: {comfyui: {headers: {Authorization: Bearer s3cret, X-Key: t0psecret}}}}"
    )
    for form in ([], ["--json"]):
        answer = cli("doctor", "--config", "mine.yaml", "--url", server.url, *form)
        assert answer.status == 0
        assert "comfyui.headers.Authorization" in answer.out
        assert "***" in answer.out
        assert not [word for word in ("s3cret", "t0psecret") if word in answer.out + answer.err]


def test_refused_secrets_are_not_shown_either(cli, tmp_path):
    for block in (
        "{comfyui: {headers: {X-Key: 73577357}}}",
        "{comfyui: {headers: Bearer 73577357}}",
        "{comfyui_url: 'http://me:73577357@127.0.0.1'}",
    ):
        (tmp_path / "mine.yaml").write_text(f"tts: {{qwen: {block}}}")
        answer = cli("doctor", "--config", "mine.yaml", "--json")
        assert answer.status == 2
        assert "***" in answer.json["error"]["message"]
        assert "73577357" not in answer.out + answer.err


def test_misconfigured(cli, tmp_path):
    (tmp_path / "mine.yaml").write_text("tts: {qwen: {devize: cpu}}")
    answer = cli("doctor", "--config", "mine.yaml")
    assert answer.status == 2
    assert "mine.yaml: tts.qwen.devize is not a key that exists" in answer.err
    assert "Did you mean 'device'?" in answer.err


def test_what_is_not_installed_and_what_cannot_be_loaded():
    code = """
        import sys
        from importlib import metadata
        group = "storycore_tts.adapters"
        adapters = {"draft": "storycore_tts.adapters.draft", "direct": "package_that_is_missing"}
        points = [metadata.EntryPoint(k, f"{v}:create", group) for k, v in adapters.items()]
        metadata.entry_points = lambda group: points if "storycore" in group else []
        from storycore_tts.entrypoints.cli import main
        status = main(["doctor", "--backend", "direct", "--json"])
        main(["doctor", "--backend", "draft"])
        sys.exit(status)
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    told, table = done.stdout.split("\n", 1)
    backends = json.loads(told)["backends"]
    assert backends["comfyui"] == {"installed": False}
    [problem] = backends["direct"]["problems"]
    assert "package_that_is_missing" in problem["message"]
    assert problem["advice"] == "pip install 'storycore-tts[direct]'"
    assert "not installed" in table


def test_a_narrow_terminal(cli, server, terminal):
    terminal(60)
    answer = cli("doctor", "--url", server.url)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", answer.out)
    tables = [line for line in plain.splitlines() if line[:1] in "┏┃┡│└"]
    assert len(tables) > 30
    assert max(map(len, tables)) <= 60  # the advice below is copied, and not cut
