"""All files change or none does, whatever comes in between."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from storycore_tts.entrypoints.checkout import FOLDER, open_checkout, put_right, write
from storycore_tts.services.migration import LocalChanges, NotWritable, plan

AI_SERVICE = "backend/video_editor_ai_service.py"
FILES_OF_PHASE_3 = 8  # that change on the way there, and the manifest is one more


class Renames:
    """Renames files, until it is the turn of one that fails."""

    def __init__(self, left, error):
        self.left, self.error = left, error

    def __call__(self, new, old):
        if not self.left:
            raise self.error
        self.left -= 1
        new.replace(old)


def leftovers(root):
    return [f for f in root.rglob("*") if "storycore-tts-new" in f.name or f.name == "pending.json"]


@pytest.fixture
def killed(small_engine, tmp_path, go):
    """The checkout before phase 3, and what a kill before each of its renames would have left."""
    left = []

    def copy():
        left.append(shutil.copytree(small_engine, tmp_path / f"copy-{len(left)}"))

    def rename(new, old):
        copy()
        new.replace(old)

    copy()
    go(small_engine, 3, rename=rename)
    assert len(left) == FILES_OF_PHASE_3 + 2
    return left


@pytest.mark.parametrize(
    ("renamed", "error"),
    [(0, OSError("no")), (4, KeyboardInterrupt()), (FILES_OF_PHASE_3, OSError("no"))],
)
def test_a_rename_that_fails_leaves_nothing_changed(small_engine, contents, go, renamed, error):
    before = contents(small_engine)
    with pytest.raises(type(error)):
        go(small_engine, 3, rename=Renames(renamed, error))
    assert contents(small_engine) == before
    assert leftovers(small_engine) == []
    go(small_engine, 3)
    there = contents(small_engine)
    with pytest.raises(OSError, match="no"):  # on the way back, too
        go(small_engine, 0, rename=Renames(FILES_OF_PHASE_3, OSError("no")))
    assert contents(small_engine) == there
    go(small_engine, 0)
    assert contents(small_engine) == before


def test_a_kill_in_between_is_put_right_by_the_next_run(contents, killed):
    before = contents(killed.pop(0))
    for renamed, root in enumerate(killed):
        assert (contents(root) != before) or not renamed
        assert put_right(root)
        assert contents(root) == before
        assert leftovers(root) == []
        assert not put_right(root)


def test_work_that_was_done_after_a_kill_is_not_overwritten(contents, killed):
    root = killed[-1]
    file = root / AI_SERVICE
    file.write_bytes(file.read_bytes() + b"# mine\n")
    before = contents(root)
    with pytest.raises(LocalChanges, match="cut off") as refused:
        put_right(root)
    assert contents(root) == before
    file.write_bytes(Path(refused.value.hint.split(": ")[1].split(". Put")[0]).read_bytes())
    assert put_right(root)


def test_a_file_that_changes_while_this_runs_stays_as_it_is(small_engine, contents):
    opened = open_checkout(small_engine)
    file = small_engine / AI_SERVICE
    file.write_bytes(file.read_bytes() + b"# mine\n")
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match="was changed while this ran"):
        write(opened, plan(opened.checkout, 3))
    assert contents(small_engine) == before


@pytest.mark.skipif(os.name == "nt", reason="permissions are others there")
def test_files_keep_their_permissions_and_a_read_only_one_stops_it_before_anything_is_written(
    small_engine, contents, go
):
    file = small_engine / AI_SERVICE
    file.chmod(0o444)
    before = contents(small_engine)
    with pytest.raises(NotWritable, match=AI_SERVICE):
        go(small_engine, 2)
    assert contents(small_engine) == before
    assert not (small_engine / FOLDER).exists()
    file.chmod(0o750)
    for number in (2, 0):
        go(small_engine, number)
        assert stat.S_IMODE(file.stat().st_mode) == 0o750
