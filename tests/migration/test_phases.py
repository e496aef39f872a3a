"""An engine goes through the phases and comes back, byte for byte."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storycore_tts import load_config
from storycore_tts.services.migration import SETTINGS, SETTINGS_STEP, evidence, plan
from storycore_tts.services.migration.checkout import AI_SERVICE, MAIN_API, TTS_SERVICE
from storycore_tts.services.migration.errors import (
    CannotGoBack,
    LocalChanges,
    MigrationRefused,
)
from storycore_tts.services.migration.modules import MODULES
from tests.small_engine import commit, git

CALLER = Path(__file__).with_name("caller.py")


def compiles(root):
    for file in root.rglob("*.py"):
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)


def edited(root, path, change):
    file = root / path
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
@pytest.mark.parametrize("committed", [False, True])
def test_there_phase_by_phase_and_back(small_engine, contents, go, phase, crlf, committed):
    if crlf:
        for path in contents(small_engine):
            edited(small_engine, path, lambda data: data.replace(b"\n", b"\r\n"))
        commit(small_engine)
    seen = [contents(small_engine)]
    for number in range(1, 5):
        assert go(small_engine, number)
        assert phase(small_engine) == number
        compiles(small_engine)
        config = load_config(small_engine / SETTINGS, environ={}).config
        assert (config.backend, config.rollout) == ("comfyui", None)
        seen.append(contents(small_engine))
        old = {path: data for path, data in seen[-1].items() if path in seen[0]}
        assert all(b"\n" not in data.replace(b"\r\n", b"") or not crlf for data in old.values())
        if committed:
            commit(small_engine)
        assert not go(small_engine, number)  # a second time, there is nothing to do
    assert config.deprecate_legacy
    for number in (3, 2, 1, 0):
        go(small_engine, number)
        assert contents(small_engine) == seen[number]
        if committed:
            commit(small_engine)
    assert git(small_engine, "status", "--porcelain") == ""


@pytest.mark.parametrize("committed", [False, True])
def test_all_at_once_is_what_one_by_one_is(small_engine, contents, go, committed):
    before = contents(small_engine)
    for number in range(1, 5):
        go(small_engine, number)
    after = contents(small_engine)
    if committed:
        commit(small_engine)
    go(small_engine, 0)
    assert contents(small_engine) == before
    go(small_engine, 4)
    assert contents(small_engine) == after


def test_the_engine_reads_the_settings_here_and_in_its_container(small_engine, monkeypatch, go):
    go(small_engine, 1)
    container = small_engine.parent / "app"
    for row in (small_engine / "Dockerfile").read_text().splitlines():
        folder = row.split()[1]
        if row.startswith("COPY ") and folder.endswith("/"):
            shutil.copytree(small_engine / folder, container / folder)
    for place in (small_engine, container):
        monkeypatch.chdir(place)
        loaded = load_config(environ={})
        assert loaded.sources["comfyui_url"].endswith("storycore-tts.yaml")
        assert (loaded.config.fallback, loaded.config.cast) == ("draft", "data/cast.yaml")


@pytest.mark.parametrize("path", ["storycore-tts.yaml", "config/default.yaml"])
def test_settings_that_are_there_already_are_the_ones(small_engine, monkeypatch, go, phase, path):
    (small_engine / path).write_text("tts:\n  qwen:\n    default_speaker: Serena\n")
    commit(small_engine)
    go(small_engine, 4)
    assert phase(small_engine) == 4
    monkeypatch.chdir(small_engine)
    loaded = load_config(environ={})
    assert (loaded.config.default_speaker, loaded.config.deprecate_legacy) == ("Serena", True)
    assert not (small_engine / SETTINGS).exists()
    go(small_engine, 1)
    assert git(small_engine, "diff", "--name-only").split() == ["requirements.txt"]


def test_another_file_of_settings_is_found_again(small_engine, contents, go, phase):
    before = contents(small_engine)
    edited(small_engine, "config/default.yaml", lambda data: data.rstrip())
    commit(small_engine)
    for path in ("conf/speech.yaml", "config/default.yaml"):
        go(small_engine, 2, settings=path)
        assert b"  qwen:" in (small_engine / path).read_bytes()
        assert b"cast:" not in (small_engine / path).read_bytes()  # it is not in data/
        assert phase(small_engine) == 2
        go(small_engine, 0)
        assert git(small_engine, "status", "--porcelain") == ""
    assert before.keys() == contents(small_engine).keys()


def test_what_is_not_there_is_not_missed(small_engine, contents, go, phase):
    shutil.rmtree(small_engine / "src" / "qwen_tts_comfyui")
    (small_engine / TTS_SERVICE).unlink()
    (small_engine / "backend" / "auth.py").unlink()
    commit(small_engine)
    before = contents(small_engine)
    go(small_engine, 4)
    assert phase(small_engine) == 4
    assert b"include_router(create_editor_router())" in (small_engine / MAIN_API).read_bytes()
    go(small_engine, 0)
    assert contents(small_engine) == before


def test_edits_outside_our_lines_survive_the_way_back(small_engine, contents, go):
    before = contents(small_engine)
    go(small_engine, 4)
    edited(small_engine, AI_SERVICE, lambda data: b"# mine\n" + data + b"# mine too\n")
    edited(small_engine, TTS_SERVICE, lambda data: b"# mine\n" + data + b"# mine too\n")
    commit(small_engine)
    go(small_engine, 0)
    after = contents(small_engine)
    for path in (AI_SERVICE, TTS_SERVICE):
        assert after.pop(path) == b"# mine\n" + before.pop(path) + b"# mine too\n"
    assert after == before


def test_what_the_settings_say_is_their_owners(small_engine, contents, go, phase):
    go(small_engine, 2)
    edited(
        small_engine, SETTINGS, lambda data: data.replace(b"backend: comfyui", b"backend: draft")
    )
    assert phase(small_engine) == 2
    go(small_engine, 3)  # keeps it, though it is not committed
    assert b"backend: draft" in (small_engine / SETTINGS).read_bytes()
    commit(small_engine)
    before = contents(small_engine)
    with pytest.raises(MigrationRefused, match=r'backend is "draft"; phase 4 needs "comfyui"'):
        go(small_engine, 4)
    assert contents(small_engine) == before
    go(small_engine, 0)
    assert not (small_engine / SETTINGS).exists()


def test_lines_that_are_asked_for_are_written_once(small_engine, go):
    asked = {SETTINGS_STEP: ["tts:", "  qwen:", "    rollout: 0.1"]}
    go(small_engine, 2, asked=asked)
    assert load_config(small_engine / SETTINGS, environ={}).config.rollout == 0.1
    with pytest.raises(MigrationRefused, match=r"rollout is 0\.1; phase 4 needs null"):
        go(small_engine, 4)
    go(small_engine, 3)  # what was chosen stays
    assert b"rollout: 0.1" in (small_engine / SETTINGS).read_bytes()
    commit(small_engine)
    with pytest.raises(MigrationRefused, match="not written on the way to phase 3"):
        go(small_engine, 3, asked={SETTINGS_STEP: ["tts:", "  qwen:", "    rollout: 0.2"]})


def test_line_endings_that_git_turned_around_are_no_change(small_engine, go):
    git(small_engine, "config", "core.autocrlf", "true")
    git(small_engine, "rm", "-q", "--cached", "-r", ".")
    git(small_engine, "reset", "-q", "--hard")
    assert b"\r\n" in (small_engine / TTS_SERVICE).read_bytes()
    old = (small_engine / TTS_SERVICE).read_bytes()
    for committed in (False, True):
        go(small_engine, 4)
        if committed:
            commit(small_engine)
        go(small_engine, 0)
        assert (small_engine / TTS_SERVICE).read_bytes() == old
        if committed:
            commit(small_engine)
        assert git(small_engine, "status", "--porcelain") == ""


def test_what_was_done_by_hand_counts_and_is_left_alone(small_engine, contents, go, phase, opened):
    edited(small_engine, "requirements.txt", lambda data: data + b"StoryCore_TTS[draft] == 0.1 # x")
    (small_engine / SETTINGS).write_text("tts:\n  qwen:\n    backend: comfyui\n")
    commit(small_engine)
    before = contents(small_engine)
    assert phase(small_engine) == 1
    go(small_engine, 4)
    assert phase(small_engine) == 4
    go(small_engine, 1)
    assert contents(small_engine) == before
    found = opened(small_engine)
    with pytest.raises(CannotGoBack, match=r"requirements\.txt"):
        plan(found.now, found.committed, 0, {})


def test_what_git_has_lost_is_no_guess(small_engine, contents, go):
    go(small_engine, 3)
    there = git(small_engine, "rev-parse", f"HEAD:{TTS_SERVICE}").strip()
    edited(small_engine, TTS_SERVICE, lambda data: data.replace(there.encode(), b"0" * len(there)))
    commit(small_engine)
    before = contents(small_engine)
    with pytest.raises(CannotGoBack, match="git does not have") as refused:
        go(small_engine, 2)
    assert "unshallow" in (refused.value.hint or "")
    assert contents(small_engine) == before


def test_a_module_that_came_back_is_seen_and_done_again(small_engine, contents, go, phase):
    old = (small_engine / TTS_SERVICE).read_bytes()
    before = contents(small_engine)
    go(small_engine, 4)
    done = contents(small_engine)
    edited(small_engine, TTS_SERVICE, lambda _: old)
    commit(small_engine)
    assert phase(small_engine) == 2
    go(small_engine, 4)
    assert contents(small_engine) == done
    go(small_engine, 0)
    assert contents(small_engine) == before


def test_the_evidence_names_files_and_lines_and_warnings_what_callers_notice(
    small_engine, go, opened
):
    go(small_engine, 2)
    found = opened(small_engine)
    by_name = {step.name: finding for step, finding in evidence(found.now)}
    hook = by_name["phase-2-service"]
    line = found.now.texts[hook.path].splitlines()[hook.line - 1]
    assert line.strip() == "from storycore_tts import create_tts_service"
    assert not by_name["phase-3-client"].done
    warnings = plan(found.now, found.committed, 3, {}).warnings
    assert warnings == [
        "src/qwen3_tts_integration.py no longer has main.",
        "backend/qwen_tts_service.py no longer has example.",
    ]
    go(small_engine, 0)
    found = opened(small_engine)
    assert "a token of the engine" in plan(found.now, found.committed, 2, {}).warnings[0]


def test_the_old_modules_hand_on_what_they_list(small_engine, go):
    go(small_engine, 3)
    for path in MODULES:
        module = runpy.run_path(str(small_engine / path))
        assert "storycore-tts" in module["__doc__"], path
        for listed in module["__all__"]:
            assert "storycore_tts" in module[listed].__module__, listed


@pytest.mark.parametrize(("start", "target"), [(0, 4), (3, 1)])
def test_git_takes_the_diff(small_engine, opened, go, start, target):
    go(small_engine, start)
    found = opened(small_engine)
    diff = b"".join(
        change.diff().encode()
        for change in plan(found.now, found.committed, target, {}).changes
        if "integration" not in change.path  # it is latin-1, and a diff has one encoding
    )
    subprocess.run(["git", "apply", "--check", "-"], cwd=small_engine, input=diff, check=True)


@pytest.mark.parametrize("number", range(1, 5))
def test_the_engine_starts_and_answers_in_each_phase(small_engine, go, number):
    pytest.importorskip("fastapi")
    go(small_engine, number)
    backend = {"STORYCORE_TTS_BACKEND": "draft", "STORYCORE_TTS_FALLBACK": "none"}
    done = subprocess.run(
        [sys.executable, CALLER, str(number)],
        cwd=small_engine,
        env={**os.environ, **backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_other_changes_are_left_alone(small_engine, contents, go):
    go(small_engine, 2)
    commit(small_engine)
    edited(small_engine, AI_SERVICE, lambda data: data + b"# mine\n")
    (small_engine / "uploads").mkdir()
    (small_engine / "uploads" / "new.txt").write_text("mine")
    go(small_engine, 3)  # touches neither
    assert (small_engine / AI_SERVICE).read_bytes().endswith(b"# mine\n")
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match=AI_SERVICE):
        go(small_engine, 1)
    assert contents(small_engine) == before
