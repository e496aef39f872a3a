"""All files change or none does, whatever comes in between."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storycore_tts.entrypoints.checkout import FOLDER, open_checkout, put_right, write
from storycore_tts.services.migration import LocalChanges, NotWritable, plan

AI_SERVICE = "backend/video_editor_ai_service.py"
KILLED = """
import os, sys
from pathlib import Path
from storycore_tts.entrypoints.checkout import open_checkout, write
from storycore_tts.services.migration import plan

left = int(sys.argv[2])

def rename(new, old):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    new.replace(old)

opened = open_checkout(Path(sys.argv[1]))
write(opened, plan(opened.checkout, 3), rename=rename)
"""
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


@pytest.mark.parametrize(
    "error", [OSError("no"), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("renamed", range(FILES_OF_PHASE_3 + 1))
def test_a_rename_that_fails_leaves_nothing_changed(small_engine, contents, go, renamed, error):
    before = contents(small_engine)
    with pytest.raises(type(error)):
        go(small_engine, 3, rename=Renames(renamed, error))
    assert contents(small_engine) == before
    assert leftovers(small_engine) == []
    go(small_engine, 3)
    go(small_engine, 0)
    assert contents(small_engine) == before


def test_a_rename_that_fails_on_the_way_back_leaves_the_phase(small_engine, contents, go):
    go(small_engine, 3)
    before = contents(small_engine)
    with pytest.raises(OSError, match="no"):
        go(small_engine, 0, rename=Renames(FILES_OF_PHASE_3, OSError("no")))
    assert contents(small_engine) == before


@pytest.mark.parametrize("renamed", [0, 1, FILES_OF_PHASE_3 - 1, FILES_OF_PHASE_3])
def test_a_kill_in_between_is_put_right_by_the_next_run(small_engine, contents, go, renamed):
    before = contents(small_engine)
    killed = [sys.executable, "-c", KILLED, str(small_engine), str(renamed)]
    assert subprocess.run(killed, check=False).returncode == 9
    assert (contents(small_engine) != before) or not renamed
    assert put_right(small_engine)
    assert contents(small_engine) == before
    assert leftovers(small_engine) == []
    assert not put_right(small_engine)
    go(small_engine, 3)


def test_work_that_was_done_after_a_kill_is_not_overwritten(small_engine, contents):
    killed = [sys.executable, "-c", KILLED, str(small_engine), str(FILES_OF_PHASE_3)]
    subprocess.run(killed, check=False)
    file = small_engine / AI_SERVICE
    file.write_bytes(file.read_bytes() + b"# mine\n")
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match="cut off") as refused:
        put_right(small_engine)
    assert contents(small_engine) == before
    file.write_bytes(Path(refused.value.hint.split(": ")[1].split(". Put")[0]).read_bytes())
    assert put_right(small_engine)


def test_a_file_that_changes_while_this_runs_stays_as_it_is(small_engine, contents):
    opened = open_checkout(small_engine)
    file = small_engine / AI_SERVICE
    file.write_bytes(file.read_bytes() + b"# mine\n")
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match="was changed while this ran"):
        write(opened, plan(opened.checkout, 3))
    assert contents(small_engine) == before


@pytest.mark.skipif(os.name == "nt", reason="permissions are others there")
def test_files_keep_their_permissions(small_engine, go):
    file = small_engine / AI_SERVICE
    file.chmod(0o750)
    for number in (2, 0):
        go(small_engine, number)
        assert stat.S_IMODE(file.stat().st_mode) == 0o750


def test_a_read_only_file_stops_it_before_anything_is_written(small_engine, contents, go):
    (small_engine / AI_SERVICE).chmod(0o444)
    before = contents(small_engine)
    with pytest.raises(NotWritable, match=AI_SERVICE):
        go(small_engine, 2)
    assert contents(small_engine) == before
    assert not (small_engine / FOLDER).exists()
