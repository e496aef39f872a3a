"""An engine goes through the phases and comes back, byte for byte."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storycore_tts import load_config
from storycore_tts.entrypoints.checkout import FOLDER, open_checkout
from storycore_tts.services.migration import SETTINGS as PLACES
from storycore_tts.services.migration import CannotGoBack, evidence, plan
from storycore_tts.services.migration.checkout import INTEGRATION, OLD_CLIENT, PROMPTS, TTS_SERVICE

AI_SERVICE = "backend/video_editor_ai_service.py"
SETTINGS = "config/default.yaml"


def compiles(root):
    for file in root.rglob("*.py"):
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)


def edited(root, path, change):
    file = root / path
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
def test_there_phase_by_phase_and_back(small_engine, contents, go, phase, crlf):
    if crlf:
        for path in contents(small_engine):
            edited(small_engine, path, lambda data: data.replace(b"\n", b"\r\n"))
    seen = [contents(small_engine)]
    for number, rollout in ((1, None), (2, 0.0), (3, 0.0), (4, None)):
        go(small_engine, number)
        assert phase(small_engine) == number
        compiles(small_engine)
        config = load_config(small_engine / SETTINGS, environ={}).config
        assert (config.backend, config.rollout) == ("comfyui", rollout)
        seen.append(contents(small_engine))
        assert seen[-1][SETTINGS].startswith(seen[0][SETTINGS])
        assert all(
            b"\n" not in data.replace(b"\r\n", b"") or not crlf for data in seen[-1].values()
        )
        assert go(small_engine, number) is None  # a second time, there is nothing to do
        assert contents(small_engine) == seen[-1]
    assert config.deprecate_legacy
    for number in (3, 2, 1, 0):
        go(small_engine, number)
        assert contents(small_engine) == seen[number]


def test_all_at_once_is_what_one_by_one_is(small_engine, tmp_path, contents, go):
    other = tmp_path / "other"
    shutil.copytree(small_engine, other)
    for number in range(1, 5):
        go(small_engine, number)
    go(other, 4)
    assert contents(other) == contents(small_engine)
    go(other, 0)
    go(small_engine, 0)
    assert contents(other) == contents(small_engine)


def test_the_settings_are_those_that_the_package_reads(small_engine, monkeypatch, go):
    for first, expected in enumerate(PLACES):
        root = shutil.copytree(small_engine, small_engine.parent / str(first))
        for path in PLACES[first:]:
            (root / path).write_text("other: 1\n", encoding="utf-8")
        go(root, 2)
        monkeypatch.chdir(root)
        assert load_config(environ={}).sources["rollout"] == str(Path(expected))


def test_what_is_not_there_is_not_missed(small_engine, contents, go, phase):
    shutil.rmtree(small_engine / "src" / "qwen_tts_comfyui")
    (small_engine / "backend" / "qwen_tts_service.py").unlink()
    (small_engine / SETTINGS).unlink()
    before = contents(small_engine)
    go(small_engine, 4)
    assert phase(small_engine) == 4
    assert (small_engine / SETTINGS).exists()
    go(small_engine, 0)
    assert contents(small_engine) == before


def test_edits_outside_our_lines_survive_the_way_back(small_engine, contents, go):
    before = contents(small_engine)
    go(small_engine, 4)
    edited(small_engine, AI_SERVICE, lambda data: b"# mine\n" + data + b"# mine too\n")
    edited(small_engine, SETTINGS, lambda data: data + b"mine: 1\n")
    go(small_engine, 0)
    after = contents(small_engine)
    assert after.pop(AI_SERVICE) == b"# mine\n" + before.pop(AI_SERVICE) + b"# mine too\n"
    assert after.pop(SETTINGS) == before.pop(SETTINGS) + b"mine: 1\n"
    assert after == before


def test_settings_that_users_change_are_theirs(small_engine, contents, go, phase):
    before = contents(small_engine)
    go(small_engine, 2)
    edited(small_engine, SETTINGS, lambda data: data.replace(b"rollout: 0.0", b"rollout: 0.25"))
    assert phase(small_engine) == 2
    go(small_engine, 4)
    go(small_engine, 2)
    assert b"rollout: 0.25  #" in (small_engine / SETTINGS).read_bytes()
    go(small_engine, 0)
    assert contents(small_engine) == before


def test_line_endings_that_git_turned_around_are_no_local_change(small_engine, contents, go):
    before = contents(small_engine)
    go(small_engine, 4)
    for path in contents(small_engine):
        edited(small_engine, path, lambda data: data.replace(b"\n", b"\r\n"))
    go(small_engine, 0)
    after = {path: data.replace(b"\r\n", b"\n") for path, data in contents(small_engine).items()}
    assert after == before


def test_what_was_done_by_hand_counts_and_is_left_alone(small_engine, contents, go, phase):
    edited(small_engine, "requirements.txt", lambda data: data + b"StoryCore_TTS[draft] == 0.1 # x")
    edited(small_engine, SETTINGS, lambda data: data + b"tts:\n  qwen:\n    backend: direct\n")
    before = contents(small_engine)
    assert phase(small_engine) == 1
    go(small_engine, 4)
    assert phase(small_engine) == 4
    go(small_engine, 1)
    assert contents(small_engine) == before
    with pytest.raises(CannotGoBack, match=r"requirements\.txt"):
        plan(open_checkout(small_engine).checkout, 0)


def test_a_lost_record_is_no_guess_and_backups_hold_the_files(small_engine, contents, go):
    before = contents(small_engine)
    backup = go(small_engine, 3)
    kept = {f.relative_to(backup).as_posix(): f.read_bytes() for f in backup.rglob("*.*")}
    assert kept.items() <= before.items()
    assert AI_SERVICE in kept
    shutil.rmtree(small_engine / FOLDER)
    before = contents(small_engine)
    with pytest.raises(CannotGoBack, match="git") as refused:
        go(small_engine, 2)
    assert "by hand" in (refused.value.hint or "")
    assert contents(small_engine) == before


def test_a_module_that_came_back_is_seen_and_done_again(small_engine, contents, go, phase):
    old = (small_engine / "backend/qwen_tts_service.py").read_bytes()
    before = contents(small_engine)
    go(small_engine, 4)
    done = contents(small_engine)
    edited(small_engine, "backend/qwen_tts_service.py", lambda _: old)
    assert phase(small_engine) == 2
    go(small_engine, 4)
    assert contents(small_engine) == done
    go(small_engine, 0)
    assert contents(small_engine) == before


def test_the_evidence_names_files_and_lines_and_lost_names_are_told(small_engine, go):
    go(small_engine, 2)
    checkout = open_checkout(small_engine).checkout
    found = {item.name: item.finding for item in evidence(checkout)}
    hook = found["phase-2-service"]
    line = checkout.texts[hook.path].splitlines()[hook.line - 1]
    assert line.strip() == "from storycore_tts import install"
    assert not found["phase-3-client"].done
    warnings = plan(checkout, 3).warnings
    assert any("create_qwen_tts_service" in warning for warning in warnings)
    assert any("main" in warning for warning in warnings)


def test_the_hook_asks_for_nothing_unless_the_model_is_qwen(small_engine, go):
    go(small_engine, 2)
    code = (
        "import sys; sys.path.insert(0, 'backend')\n"
        "from video_editor_ai_service import AIConfig, AIVideoEditorService\n"
        "AIVideoEditorService()\n"
        "assert not any(name.startswith('storycore_tts') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=small_engine, check=True)


def test_the_old_modules_hand_on_what_they_list(small_engine, go):
    go(small_engine, 3)
    for path in (INTEGRATION, PROMPTS, TTS_SERVICE, OLD_CLIENT):
        module = runpy.run_path(str(small_engine / path))
        assert "storycore-tts" in module["__doc__"], path
        for listed in module["__all__"]:
            assert "storycore_tts" in module[listed].__module__, listed


@pytest.mark.parametrize(("start", "target"), [(0, 4), (3, 1)])
def test_git_takes_the_diff(small_engine, contents, go, start, target):
    (small_engine / SETTINGS).unlink()
    go(small_engine, start)
    diff = b"".join(
        change.diff().encode()
        for change in plan(open_checkout(small_engine).checkout, target).changes
        if "integration" not in change.path  # it is latin-1, and a diff has one encoding
    )
    subprocess.run(["git", "apply", "--check", "-"], cwd=small_engine, input=diff, check=True)
