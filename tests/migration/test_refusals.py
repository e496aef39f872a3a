"""What cannot be done safely is refused, with the reason, and nothing is touched."""

import shlex
import shutil

import pytest

from storycore_tts.services.migration import SETTINGS, plan
from storycore_tts.services.migration.checkout import AI_SERVICE, MAIN_API, TTS_SERVICE
from storycore_tts.services.migration.errors import (
    AnchorNotFound,
    CannotGoBack,
    LocalChanges,
    MigrationRefused,
    NotACheckout,
    NotInGit,
    UnfitFile,
)
from tests.small_engine import commit, git

DEFAULT = "config/default.yaml"
MARK = b"# >>> storycore-tts migrate: phase-2-service >>>"


def replaced(root, path, old, new):
    file = root / path
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new))


UNKNOWN_LAYOUTS = {
    "another class": (AI_SERVICE, b"class TTSService", b"class Speaker"),
    "no configuration": (AI_SERVICE, b"ai_config = ", b"settings = "),
    "no router": (MAIN_API, b"    VIDEO_EDITOR_ROUTER,", b"    ROUTER,"),
    "a router in a text": (
        MAIN_API,
        b"api.include_router(\n",
        b'"""\napi.include_router(VIDEO_EDITOR_ROUTER)\n"""\napi.include_router(\n',
    ),
    "a requirement that goes on": ("requirements.txt", b"   # arrays", b" \\"),
    "settings in braces": (DEFAULT, b"server:", b"tts: {}\nserver:"),
    "settings of a scalar": (DEFAULT, b"server:", b"tts: null\nserver:"),
    "a document that ended": (DEFAULT, b"greeting:", b"...\n# greeting:"),
}


UNFIT = {
    "not Python": (AI_SERVICE, b"class ", b"klass "),
    "not UTF-8": (MAIN_API, b"small", b"small\xff"),
    "an unknown encoding": (AI_SERVICE, b'"""Services', b'# coding: martian\n"""Services'),
    "not YAML": (DEFAULT, b"server:", b"server: ["),
    "a list of settings": (DEFAULT, b"server:", b"- server:"),
    "two documents": (DEFAULT, b"greeting:", b"---\ngreeting:"),
}


@pytest.mark.parametrize(
    ("refusal", "path", "old", "new"),
    [
        pytest.param(refusal, *change, id=name)
        for refusal, changes in ((AnchorNotFound, UNKNOWN_LAYOUTS), (UnfitFile, UNFIT))
        for name, change in changes.items()
    ],
)
def test_an_unknown_layout_and_a_file_that_cannot_be_read_safely(
    small_engine, contents, go, refusal, path, old, new
):
    replaced(small_engine, path, old, new)
    commit(small_engine)
    before = contents(small_engine)
    with pytest.raises(refusal) as refused:
        go(small_engine, 2, settings=DEFAULT)
    assert path in refused.value.message
    assert contents(small_engine) == before


@pytest.mark.parametrize("missing", ["requirements.txt", AI_SERVICE, MAIN_API])
def test_a_folder_that_is_no_checkout(small_engine, go, missing):
    (small_engine / missing).unlink()
    with pytest.raises(NotACheckout, match=missing):
        go(small_engine, 1)


def test_paths_and_phases_that_there_are_not(small_engine, opened):
    for name in ("nowhere", "engine/requirements.txt", "a\0b"):
        with pytest.raises(NotACheckout):
            opened(small_engine.parent / name)
    for path in ("../settings.yaml", "/etc/settings.yaml", "C:/settings.yaml"):
        with pytest.raises(UnfitFile, match="inside the checkout"):
            opened(small_engine, settings=path)
    found = opened(small_engine)
    with pytest.raises(MigrationRefused, match="0 to 4"):
        plan(found.now, found.committed, 5, {})


@pytest.mark.parametrize("path", [AI_SERVICE, "backend", "data"])
def test_links_are_not_followed(small_engine, tmp_path, go, path):
    place = small_engine / path
    elsewhere = tmp_path / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    with pytest.raises(UnfitFile, match="is a link"):
        go(small_engine, 2)


def test_a_checkout_without_git_is_told_how_and_why(small_engine, go):
    shutil.rmtree(small_engine / ".git")
    with pytest.raises(NotInGit, match="relies on git to undo changes") as refused:
        go(small_engine, 1)
    assert refused.value.hint.startswith("git init && git add -A && git commit")
    git(small_engine, "init", "-q")
    with pytest.raises(NotInGit, match="Nothing is committed"):
        go(small_engine, 1)
    commit(small_engine)
    assert go(small_engine, 1)


def test_files_that_git_does_not_keep(small_engine, contents, go):
    (small_engine / ".gitignore").write_text("/data/storycore-tts.yaml\n")
    git(small_engine, "rm", "-q", "--cached", TTS_SERVICE)
    git(small_engine, "commit", "-q", "-m", "Without it")
    before = contents(small_engine)
    with pytest.raises(NotInGit) as refused:
        go(small_engine, 1)
    assert TTS_SERVICE in refused.value.message
    assert SETTINGS in refused.value.message
    assert contents(small_engine) == before


@pytest.mark.parametrize("target", [0, 1, 3])
@pytest.mark.parametrize("path", [AI_SERVICE, SETTINGS])
def test_changes_that_are_not_committed_are_not_lost(small_engine, contents, go, path, target):
    go(small_engine, 2)
    file = small_engine / path
    file.write_bytes(file.read_bytes() + b"# mine\n")
    before = contents(small_engine)
    if target == 3 or (path, target) == (SETTINGS, 1):  # which do not touch these lines
        go(small_engine, target)
        assert file.read_bytes().endswith(b"# mine\n")
        return
    with pytest.raises(LocalChanges, match=path):
        go(small_engine, target)
    assert contents(small_engine) == before
    commit(small_engine)
    go(small_engine, target)


CHANGES = {
    "between the marks": (b"backend: comfyui", b"backend: draft"),
    "below them": (b"phase-1-settings <<<\n", b"phase-1-settings <<<\n# mine\n"),
    "a line is replaced": (b"    default_speaker: Ryan\n", b"# <<<\n"),
}


@pytest.mark.parametrize("path", [SETTINGS, DEFAULT])
@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_settings_that_only_their_owner_has_stay_until_they_are_committed(
    small_engine, contents, go, path, old, new
):
    go(small_engine, 2, settings=path)
    replaced(small_engine, path, old, new)
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match=path) as refused:
        go(small_engine, 0)
    assert contents(small_engine) == before
    for command in refused.value.hint.split(" keeps")[0].split(" && "):
        git(small_engine, *shlex.split(command)[1:])
    go(small_engine, 0)
    assert b"qwen:" not in contents(small_engine).get(path, b"")
    assert git(small_engine, "show", f"HEAD:{path}").encode() == before[path]


def test_settings_below_ours_that_mean_nothing_alone(small_engine, contents, go):
    go(small_engine, 2)
    mark, mine = (
        b"# <<< storycore-tts migrate: phase-1-settings <<<\n",
        b"    routing_key: speaker\n",
    )
    replaced(small_engine, SETTINGS, mark, mark + mine)
    commit(small_engine)
    before = contents(small_engine)
    with pytest.raises(CannotGoBack, match="without them: routing_key: speaker"):
        go(small_engine, 0)
    assert contents(small_engine) == before
    replaced(small_engine, SETTINGS, mark + mine, mine + mark)
    commit(small_engine)
    go(small_engine, 0)
    assert not (small_engine / SETTINGS).exists()


def test_a_file_that_was_deleted_does_not_come_back(small_engine, go):
    (small_engine / TTS_SERVICE).unlink()
    go(small_engine, 2)
    assert not (small_engine / TTS_SERVICE).exists()
    with pytest.raises(LocalChanges, match=TTS_SERVICE):
        go(small_engine, 3)


@pytest.mark.parametrize("new", [b"", MARK + b"\n" + MARK])
def test_marks_that_are_no_pair(small_engine, contents, go, new):
    go(small_engine, 3)
    replaced(small_engine, AI_SERVICE, b"# <<<" + MARK[5:-3] + b"<<<", new)
    commit(small_engine)
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match=AI_SERVICE):
        go(small_engine, 1)
    assert contents(small_engine) == before


def test_marks_without_what_belongs_between_them(small_engine, contents, go):
    go(small_engine, 2)
    replaced(small_engine, AI_SERVICE, b"from storycore_tts import", b"from somewhere import")
    commit(small_engine)
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match="phase-2-service"):
        go(small_engine, 2)
    assert contents(small_engine) == before
