"""How a queue starts and ends, and what it leaves of the process around it."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.adapters.queue.runtime import PutDown
from storycore_tts.domain.errors import ConfigurationError, StorageFailed
from storycore_tts.domain.jobs import JobState

from .conftest import ended, order

DRAFT = {"concurrency": {"draft": 1}}


async def test_there_is_one_in_a_process(folder, tmp_path, workshop, opened):
    first = await opened(folder, workshop)
    with pytest.raises(StorageFailed, match="already"):
        await opened({"state_dir": tmp_path / "other"}, workshop)
    with pytest.raises(StorageFailed, match="already"):
        await first.start(workshop)
    assert (await ended(first, await first.submit(order()))).state is JobState.SUCCEEDED
    await first.aclose()
    await first.aclose()
    second = await opened({"state_dir": tmp_path / "other"}, workshop)
    assert (await ended(second, await second.submit(order()))).state is JobState.SUCCEEDED


async def test_a_closed_or_unopened_queue_says_so(folder, workshop, opened):
    queue = DurableQueue(**folder, **DRAFT)
    for ask in (
        lambda: queue.submit(order()),
        lambda: queue.get("ann", "x"),
        queue.counts,
        lambda: queue.jobs("ann"),
        lambda: queue.uploads.put("ann", b"x"),
        lambda: queue.uploads.get("ann", "x"),
    ):
        with pytest.raises(StorageFailed, match="not open"):
            await ask()
    await queue.aclose()
    with pytest.raises(StorageFailed):
        await queue.start(workshop)
    queue = await opened(folder, workshop)
    await queue.aclose()
    with pytest.raises(StorageFailed, match="not open"):
        await queue.submit(order())


async def test_watchers_of_a_closed_queue_do_not_wait(folder, workshop, opened):
    queue = await opened(folder, workshop)
    job = await queue.submit(order(hold="gate"))
    watcher = asyncio.ensure_future(ended(queue, job))
    await workshop.begun[job.id].wait()
    await queue.aclose()
    with pytest.raises(StorageFailed):
        await watcher


async def test_a_start_that_fails_leaves_nothing(folder, tmp_path, workshop, opened):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed) as caught:
        await opened({"state_dir": tmp_path / "file"}, workshop)
    assert caught.value.hint
    queue = await opened(folder, workshop)
    assert (await ended(queue, await queue.submit(order()))).state is JobState.SUCCEEDED


async def test_a_file_that_is_no_database_is_an_error(folder, workshop, opened):
    folder["state_dir"].mkdir()
    (folder["state_dir"] / "jobs.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageFailed, match="not a database"):
        await opened(folder, workshop)


@pytest.mark.parametrize("url", ["", "mysql://u:hidden@h/d", "nothing", "postgresql://u:hidden@h"])
def test_other_urls_are_refused(folder, url):
    with pytest.raises(ConfigurationError) as caught:
        DurableQueue(**folder, **DRAFT, database_url=url)
    assert "hidden" not in str(caught.value)
    assert not folder["state_dir"].exists()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
async def test_a_server_that_is_not_there_is_an_error_without_a_password(
    folder, workshop, opened, scheme, caplog
):
    with pytest.raises(StorageFailed) as caught:
        await opened(folder, workshop, database_url=f"{scheme}://me:hidden@127.0.0.1:9/jobs")
    assert "hidden" not in f"{caught.value} {caplog.text}"
    assert "127.0.0.1" in str(caught.value)
    assert caught.value.hint


async def test_a_wrong_password_is_not_told(postgres_url, folder, workshop, opened, caplog):
    user, _, rest = postgres_url.partition("@")
    url = f"{user.rsplit(':', 1)[0]}:hidden@{rest}"
    with pytest.raises(StorageFailed) as caught:
        await opened(folder, workshop, database_url=url)
    assert "hidden" not in f"{caught.value!r} {caught.value} {caplog.text}"


async def test_only_this_user_may_read_the_files(folder, workshop, opened):
    await opened(folder, workshop)
    assert folder["state_dir"].stat().st_mode & 0o077 == 0


async def test_it_is_quiet_and_leaves_the_process_as_it_was(place, workshop, opened, caplog, capfd):
    root = logging.getLogger()
    handlers, level, default = root.handlers[:], root.level, asyncio.get_running_loop()
    await asyncio.to_thread(int)
    executor = default._default_executor
    with caplog.at_level(logging.DEBUG, "storycore_tts"):
        queue = await opened(place, workshop)
        for fail in ("", "on purpose"):
            await ended(queue, await queue.submit(order(fail=fail)))
        await queue.aclose()
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert [r.name for r in caplog.records if r.name.startswith("dbos")] == []
    assert tuple(capfd.readouterr()) == ("", "")
    assert (root.handlers, root.level) == (handlers, level)
    assert asyncio.get_running_loop()._default_executor is executor
    assert await asyncio.to_thread(int) == 0
    assert [t.name for t in threading.enumerate() if "dbos" in t.name.lower()] == []


async def test_nothing_is_pickled(place, workshop, opened):
    queue = await opened(place, workshop)
    for fail in ("", "on purpose", "bug"):
        await ended(queue, await queue.submit(order(fail=fail)))
    schema = "storycore_tts_dbos." if "database_url" in place else ""
    with queue._storage.jobs.connect() as connection:
        kinds = connection.execute(sa.text(f"SELECT serialization FROM {schema}workflow_status"))
        assert set(kinds.scalars()) == {"storycore_tts_json"}
        stored = connection.execute(sa.text(f"SELECT output, error FROM {schema}workflow_output"))
        assert [(out[0], error) for out, error in stored] == [("{", None)] * 3


async def test_a_performer_works_on_the_loop_of_the_queue(folder, opened):
    seen = []

    async def perform(job_id, order, report):
        seen.append((asyncio.get_running_loop(), threading.current_thread()))
        raise ValueError

    queue = await opened(folder, perform)
    await ended(queue, await queue.submit(order()))
    assert seen == [(asyncio.get_running_loop(), threading.current_thread())]


async def test_an_older_packages_jobs_are_done(folder, workshop, opened):
    """A newer one may not know their fields, but it knows the format: its version is written."""
    queue = await opened(folder, workshop)
    job = await ended(queue, await queue.submit(order()))
    await queue.aclose()
    with sqlite3.connect(folder["state_dir"] / "jobs.sqlite") as connection:
        rows = connection.execute("SELECT application_version, name, queue_name, executor_id FROM "
                                  "workflow_status").fetchall()  # fmt: skip
    connection.close()
    assert rows == [("1", "storycore-tts.job", "storycore-tts-draft", "local")]
    assert job.order == order()


async def test_no_thread_of_dbos_goes_on_trying_when_all_has_ended(place, workshop, opened):
    """It would for ever, should the database be gone, and the process could not end."""
    queue = await opened(place, workshop)
    engine = queue._runtime._engine
    with engine.connect():
        pass
    await queue.aclose()
    with pytest.raises(PutDown):
        engine.connect()


FORGETS = """
import asyncio, sys
from pathlib import Path
from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.jobs import JobKind, Order

async def main():
    begun = asyncio.Event()

    async def perform(job_id, order, report):
        print("begun", flush=True)
        begun.set()
        await asyncio.sleep(3600)

    queue = DurableQueue(Path(sys.argv[1]), {"draft": 1})
    await queue.start(perform)
    await queue.submit(Order(JobKind.SPEECH, "draft", {}, "ann"))
    await begun.wait()

asyncio.run(main())
"""


def test_a_program_that_forgets_to_close_ends_nevertheless(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORGETS, tmp_path],
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert (done.returncode, done.stdout) == (0, "begun\n")


def test_importing_the_package_loads_no_database():
    code = "import sys, storycore_tts; print({'dbos', 'sqlalchemy', 'psycopg'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
