"""``storycore-tts doctor``."""

import json
import os
import re
import subprocess
import sys
import textwrap

from storycore_tts import __version__
from storycore_tts.testing.comfyui import NodePackMissing

DOWN = "http://127.0.0.1:9"


def test_all_is_well(there, server):
    answer = there("doctor", "--json")
    assert answer.status == 0
    told = answer.json
    assert (told["backend"], told["usable"]) == ("comfyui", True)
    assert told["storycore_tts"] == __version__
    assert told["settings"]["comfyui_url"] == {"value": server.url, "source": "--url"}
    comfyui = told["backends"]["comfyui"]
    assert comfyui["reachable"]
    assert comfyui["version"] == "0.3.64"
    assert comfyui["models"][0] == "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"
    assert comfyui["problems"] == []
    assert "as in 1.0.6" in comfyui["details"]["FB_Qwen3TTSCustomVoice"]
    assert told["backends"]["draft"]["reachable"]

    table = there("doctor")
    assert (table.status, table.err) == (0, "")
    assert table.out.startswith("All is well: comfyui is ready.\n")
    for said in ["comfyui (configured)", "ready", "0.3.64", "as in 1.0.6", server.url]:
        assert said in table.out
    assert "--url" not in table.out
    assert "--url" in there("doctor", "--settings").out


def test_it_says_whether_sound_files_are_signed(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    doctor = ("doctor", "--backend", "draft")
    assert "Sound files are signed: with a key of its own, which is made" in cli(*doctor).out
    cli("say", "Hello there.", "--backend", "draft", "--out", tmp_path / "line.wav")
    signing = cli(*doctor, "--json").json["signing"]
    assert signing["signs"]
    assert signing["subject"].startswith("CN=Key ")
    assert signing["expires"] > "2030"
    monkeypatch.setenv("STORYCORE_TTS_MARKING__SIGN", "off")
    said = "Sound files are not signed: tts.qwen.marking.sign is off.\n"
    assert said in cli(*doctor).out


def test_nothing_is_well_if_the_settings_of_marking_keep_everything_from_starting(cli, tmp_path):
    (tmp_path / "s.yaml").write_text("""tts: {qwen: {backend: draft, marking: {
        certificate: missing.pem, private_key: missing.pem}}}""")
    answer = cli("doctor", "--config", str(tmp_path / "s.yaml"))
    assert (answer.status, "All is well" in answer.out) == (3, False)
    assert "nothing starts with these settings" in answer.out.splitlines()[0]
    assert "missing.pem" in answer.out
    assert cli("say", "Hello.", "--config", str(tmp_path / "s.yaml")).status == 2


def test_a_backend_is_down_and_another_may_be_usable(cli):
    answer = cli("doctor", "--url", DOWN)
    assert answer.status == 3
    first, second = answer.out.splitlines()[:2]
    assert first == "The configured backend comfyui cannot be used. Ready: draft (--backend NAME)."
    assert second.startswith("comfyui: Cannot reach")
    assert "not usable" in answer.out
    assert f"comfyui: Cannot reach ComfyUI at {DOWN}" in answer.out
    assert "  advice: Start ComfyUI" in answer.out
    told = cli("doctor", "--backend", "draft", "--url", DOWN, "--json")
    assert (told.status, told.json["usable"]) == (0, True)
    assert told.json["backends"]["comfyui"]["reachable"] is False


def test_the_node_pack_is_missing(there, server):
    server.faults.add(NodePackMissing())
    answer = there("doctor", "--json")
    assert answer.status == 3
    comfyui = answer.json["backends"]["comfyui"]
    assert comfyui["version"] == "0.3.64"
    assert comfyui["details"]["FB_Qwen3TTSCustomVoice"] == "missing"
    assert len(comfyui["problems"]) == 3
    assert all(problem["advice"] for problem in comfyui["problems"])


def test_marking_that_is_off_is_told_with_its_reason(cli, tmp_path):
    file = tmp_path / "settings.yaml"
    reason = "the film is marked when it is mixed"
    file.write_text(f"tts: {{qwen: {{backend: draft, marking: {{off_because: {reason}}}}}}}")
    assert reason in cli("doctor", "--config", str(file), "--json").json["notice"]
    said = cli("doctor", "--config", str(file)).out
    assert f"not marked as synthetic speech: {reason}" in " ".join(said.split())


def test_a_rollout_that_overrides_the_backend_is_told(cli, tmp_path):
    file = tmp_path / "mine.yaml"
    for rollout, said in ((0.0, "0% of the requests go to comfyui"), ("null", None)):
        file.write_text(f"tts: {{qwen: {{rollout: {rollout}, comfyui_url: {DOWN!r}}}}}")
        notice = cli("doctor", "--config", str(file), "--json").json["notice"]
        assert (said in notice) if said else (notice is None)
        assert ("rollout overrides" in cli("doctor", "--config", str(file)).out) == bool(said)


def test_where_each_value_came_from(cli, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("tts: {qwen: {generation: {top_p: 0.5}, device: cpu}}")
    monkeypatch.setenv("STORYCORE_TTS_GENERATION__TOP_K", "5")
    monkeypatch.setenv("STORYCORE_TTS_DEVICE", "mps")
    options = ("--config", "mine.yaml", "--device", "auto", "--backend", "draft")
    told = cli("doctor", *options, "--json").json["settings"]
    assert told["generation.top_p"] == {"value": 0.5, "source": "mine.yaml", "line": 1}
    variable = "environment variable STORYCORE_TTS_GENERATION__TOP_K"
    assert told["generation.top_k"]["source"] == variable
    assert told["device"] == {"value": "auto", "source": "--device"}
    assert told["generation.seed"] == {"value": None, "source": "default"}
    assert "mine.yaml:1" in cli("doctor", *options, "--settings").out


def test_what_is_not_installed_and_what_cannot_be_loaded():
    code = """
        import sys
        from importlib import metadata
        group = "storycore_tts.adapters"
        adapters = {"draft": "storycore_tts.adapters.draft", "direct": "package_that_is_missing"}
        points = [metadata.EntryPoint(k, f"{v}:create", group) for k, v in adapters.items()]
        metadata.entry_points = lambda **which: metadata.EntryPoints(points).select(**which)
        from storycore_tts.entrypoints.cli import main
        status = main(["doctor", "--backend", "direct", "--json"])
        main(["doctor", "--backend", "draft"])
        sys.exit(status)
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    told, table = done.stdout.split("\n", 1)
    backends = json.loads(told)["backends"]
    assert backends["comfyui"] == {"installed": False}
    [problem] = backends["direct"]["problems"]
    assert "package_that_is_missing" in problem["message"]
    assert problem["advice"] == "pip install 'storycore-tts[direct]'"
    assert "not installed" in table


def test_a_bug_of_one_adapter_is_named_and_the_others_are_examined_all_the_same(tmp_path):
    needy = "def needy(config):\n    import package_that_is_missing\n"
    (tmp_path / "acme.py").write_text(f"def create(config):\n    return [][0]\n\n\n{needy}")
    information = tmp_path / "acme-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\n")
    points = "[storycore_tts.adapters]\nacme = acme:create\ntypo = acme:creat\nneedy = acme:needy\n"
    points += "broken = broken_acme:create\n"
    (tmp_path / "broken_acme.py").write_text("def (:")
    (information / "entry_points.txt").write_text(points)
    code = (
        "import sys; from storycore_tts.entrypoints.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    run = [sys.executable, "-c", code, "doctor", "--backend", "draft", "--json"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(run, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    backends = json.loads(done.stdout)["backends"]
    said = {
        name: backends[name]["problems"][0]["message"]
        for name in ("acme", "typo", "needy", "broken")
    }
    assert said["acme"] == (
        "This is a bug of the adapter 'acme': IndexError: list index out of range."
    )
    assert "'typo' cannot be loaded: module 'acme' has no attribute 'creat'" in said["typo"]
    assert "'broken' cannot be loaded: invalid syntax (broken_acme.py, line 1)" in said["broken"]
    assert backends["typo"]["problems"][0]["advice"] == "Install acme again, or remove it."
    assert "needs a package that is not installed: No module named" in said["needy"]
    assert backends["needy"]["problems"][0]["advice"] == "pip install acme"


def test_a_narrow_terminal(there, terminal):
    terminal(60)
    answer = there("doctor")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", answer.out)
    tables = [line for line in plain.splitlines() if line[:1] in "┏┃┡│└"]
    assert len(tables) > 30
    assert max(map(len, tables)) <= 60  # the advice below is copied, and not cut
