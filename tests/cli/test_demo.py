"""``storycore-tts demo``."""

import subprocess
import sys
import textwrap

import soundfile

SPEAKERS = ["ryan.wav", "serena.wav", "clone-of-ryan.wav"]


def test_the_demo_speaks_twice_and_clones_once(command, tmp_path):
    answer = command("demo", cwd=tmp_path)
    assert answer.status == 0
    assert answer.out.splitlines() == [str(tmp_path / "demo-output" / name) for name in SPEAKERS]
    for path in answer.out.splitlines():
        samples, rate = soundfile.read(path)
        assert 1.5 < len(samples) / rate < 10
        assert abs(samples).max() > 0.05
    assert "These voices are espeak-ng" in answer.err
    assert "tts.qwen.comfyui_url" in answer.err
    last = answer.err.splitlines()[-1]
    assert last.startswith("Next: ")
    program, arguments = last.removeprefix("Next: ").split(" say ")
    done = subprocess.run(f"{program} say {arguments}", shell=True, cwd=tmp_path, check=False)
    assert (done.returncode, (tmp_path / "mine.wav").exists()) == (0, True)
    assert "dBFS" in answer.err
    assert "generating" in answer.err


def test_json_and_another_folder(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_COMFYUI_URL", "http://127.0.0.1:9")  # no business of the demo
    answer = cli("demo", "--out-dir", tmp_path / "here", "--json", "--quiet")
    assert [file["path"] for file in answer.json["files"]] == [
        str(tmp_path / "here" / name) for name in SPEAKERS
    ]
    assert all(-40 < file["peak_dbfs"] <= 0 for file in answer.json["files"])
    assert "espeak-ng" in answer.json["note"]


def test_without_their_extra_the_commands_say_what_to_install():
    code = """
        import sys
        from storycore_tts.entrypoints.cli import main
        statuses = []
        for command, package in [("standin", "aiohttp"), ("demo", "soxr"), ("demo", "aiohttp")]:
            sys.modules[package] = None
            statuses.append(main([command]))
        sys.exit(statuses != [3, 3, 3])
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pip install 'storycore-tts[demo]'") == 3
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made(cli, tmp_path):
    (tmp_path / "file").write_text("in the way")
    answer = cli("demo", "--out-dir", tmp_path / "file" / "below")
    assert answer.status == 2
    assert "Cannot write to" in answer.err
