"""How a queue starts, what keeps it from that, and what a program may forget."""

from __future__ import annotations

import subprocess
import sys

import pytest

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.jobs import JobState
from storycore_tts.errors import ConfigurationError, StorageFailed

from .conftest import ended, spec


async def test_a_start_that_fails_leaves_nothing_and_only_this_user_may_read_the_files(
    tmp_path, workshop, opened
):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed) as caught:
        await opened({"state_dir": tmp_path / "file"}, workshop)
    assert caught.value.hint
    queue = await opened({"state_dir": tmp_path / "made"}, workshop)
    assert (await ended(queue, await queue.submit(spec()))).state is JobState.SUCCEEDED
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0
    await queue.aclose()
    for name in ("jobs", "store"):  # of an earlier version and of this one
        (tmp_path / "made" / f"{name}.sqlite").write_bytes(b"no database" * 1000)
        with pytest.raises(StorageFailed, match="not a database"):
            await opened({"state_dir": tmp_path / "made"}, workshop)


def test_other_urls_are_refused(tmp_path):
    for url in ("", "mysql://u:hidden@h/d", "nothing", "postgresql://u:hidden@h"):
        with pytest.raises(ConfigurationError) as caught:
            DurableQueue(tmp_path / "state", {"draft": 1}, database_url=url)
        assert "hidden" not in str(caught.value)
        assert not (tmp_path / "state").exists()


async def test_a_server_that_is_not_there_is_an_error_without_a_password(
    tmp_path, workshop, opened, caplog
):
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        url = f"{scheme}://me:hidden@127.0.0.1:9/jobs"
        with pytest.raises(StorageFailed) as caught:
            await opened({"state_dir": tmp_path, "database_url": url}, workshop)
        assert "hidden" not in f"{caught.value} {caplog.text}"
        assert "127.0.0.1" in str(caught.value)
        assert caught.value.hint


async def test_a_wrong_password_is_not_told(postgres_url, folder, workshop, opened, caplog):
    user, _, rest = postgres_url.partition("@")
    url = f"{user.rsplit(':', 1)[0]}:hidden@{rest}"
    with pytest.raises(StorageFailed) as caught:
        await opened(folder, workshop, database_url=url)
    assert "hidden" not in f"{caught.value!r} {caught.value} {caplog.text}"


FORGETS = """
import asyncio, sys
import storycore_tts
print({'sqlalchemy', 'psycopg'} & {*sys.modules})
from pathlib import Path
from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.jobs import JobKind, JobSpec

async def main():
    begun = asyncio.Event()

    async def perform(job_id, spec, report):
        print("begun", flush=True)
        begun.set()
        await asyncio.sleep(3600)

    queue = DurableQueue(Path(sys.argv[1]), {"draft": 1})
    await queue.start(perform)
    await queue.submit(JobSpec(JobKind.SPEECH, "draft", {}, "ann"))
    await begun.wait()

asyncio.run(main())
"""


def test_importing_loads_no_database_and_a_program_that_forgets_to_close_ends(folder):
    command = [sys.executable, "-c", FORGETS, folder["state_dir"]]
    done = subprocess.run(command, timeout=100, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "set()\nbegun\n"), done.stderr
