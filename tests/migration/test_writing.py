"""Files change as a whole; a write that was cut off is what git shows, and is gone on with."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storycore_tts.entrypoints.checkout import write
from storycore_tts.errors import StorageFailed
from storycore_tts.services.migration import plan
from storycore_tts.services.migration.checkout import AI_SERVICE
from storycore_tts.services.migration.errors import LocalChanges
from tests.small_engine import commit, git

WRITER = Path(__file__).with_name("writer.py")
FILES_OF_PHASE_4 = 10
SOON = (0, 4, 9)


@pytest.mark.parametrize(
    "renamed",
    [
        pytest.param(number, marks=[] if number in SOON else pytest.mark.soak)
        for number in range(FILES_OF_PHASE_4)
    ],
)
@pytest.mark.parametrize("back", [False, True])
def test_a_kill_in_between_leaves_whole_files_and_the_next_run_goes_on(
    small_engine, contents, go, renamed, back
):
    start, target = (4, 0) if back else (0, 4)
    wanted = [contents(small_engine)]
    go(small_engine, 4)
    wanted.append(contents(small_engine))
    if back:
        commit(small_engine)
    else:
        go(small_engine, 0)
    killed = [sys.executable, WRITER, small_engine, str(target), str(renamed)]
    assert subprocess.run(killed, check=False).returncode == -9
    for path, data in contents(small_engine).items():
        assert data in (wanted[0].get(path), wanted[1].get(path)) or path.endswith("-tts-new")
    other = shutil.copytree(small_engine, small_engine.with_name("other"))
    go(small_engine, target)
    assert contents(small_engine) == wanted[target == 4]
    go(other, start)
    assert contents(other) == wanted[start == 4]
    assert git(other, "status", "--porcelain") == ""


def test_a_disk_that_refuses_says_where_and_git_shows_the_rest(small_engine, go):
    def rename(new, old):
        if "main_api" not in old.name:
            raise OSError(28, "No space left on device")
        new.replace(old)

    with pytest.raises(StorageFailed, match=r"Cannot write backend/v.*No space left") as refused:
        go(small_engine, 2, rename=rename)
    assert "git status" in refused.value.hint
    assert git(small_engine, "diff", "--name-only").split() == ["backend/main_api.py"]
    go(small_engine, 0)
    assert git(small_engine, "status", "--porcelain") == ""


def test_a_file_that_changes_while_this_runs_stays_as_it_is(small_engine, contents, opened):
    found = opened(small_engine)
    planned = plan(found.now, found.committed, 1, {})
    file = small_engine / "requirements.txt"
    file.write_bytes(file.read_bytes() + b"# mine\n")
    with pytest.raises(LocalChanges, match="changed during the migration"):
        write(found, planned)
    assert file.read_bytes().endswith(b"# mine\n")


@pytest.mark.skipif(os.name == "nt", reason="permissions are others there")
def test_files_keep_their_permissions(small_engine, go):
    file = small_engine / AI_SERVICE
    file.chmod(0o755)
    commit(small_engine)
    for number in (2, 0):
        go(small_engine, number)
        assert stat.S_IMODE(file.stat().st_mode) == 0o755
