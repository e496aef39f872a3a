"""Manifests are read in a process of its own: what it says, and what becomes of one that fails."""

import asyncio
import sys

import psutil
import pytest

from storycore_tts.adapters.c2pa.isolated import IsolatedManifests
from storycore_tts.errors import BackendUnavailable

pytest.importorskip("c2pa")
posix = pytest.mark.skipif(sys.platform == "win32", reason="limits that Windows does not have")


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Other tests may have left children, such as the resource tracker of multiprocessing."""
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


@pytest.fixture
def instead(tmp_path):
    """Makes a reader whose process runs other code."""

    def make(code, *, ready=True, **limits):
        script = tmp_path / "worker.py"
        start = "import os, sys, time; os.write(1, b'R')" if ready else "import os, sys, time"
        script.write_text(f"{start}\n{code}\n")
        return IsolatedManifests(worker=script, **limits)

    return make


async def test_it_says_what_the_reader_says(signed, own):
    data, roots = signed(".wav"), own().chain.decode()
    found = await IsolatedManifests().read(data)
    assert (found.valid, found.trusted, found.changed) == (True, False, False)
    assert found.actions == ("c2pa.created",)
    assert [problem.code for problem in found.problems] == ["signingCredential.untrusted"]
    assert (await IsolatedManifests(roots).read(data)).trusted


async def test_a_file_without_a_manifest_has_none(file_of):
    assert await IsolatedManifests().read(file_of(".wav")) is None
    assert await IsolatedManifests().read(b"") is None


@pytest.mark.parametrize(
    "code",
    [
        "sys.exit(3)",
        "os.abort()",
        "sys.stdin.buffer.read(); print('no JSON')",
        "sys.stdin.buffer.read(); print('{}')",
        "sys.stdin.buffer.read(); print('[1]')",
        """print('{"valid": true, "trusted": true, "changed": false, "signed_by": ["me"]}')""",
        "sys.stdin.buffer.read()\nwhile True: sys.stdout.write('x' * 65536)",
    ],
)
async def test_a_process_that_fails_is_a_damaged_file(instead, code):
    found = await instead(code).read(bytes(300_000))
    assert not found.valid
    assert found.changed is None
    assert [problem.code for problem in found.problems] == ["manifest.unreadable"]


async def test_a_process_that_never_gets_ready_says_nothing_of_the_file(instead):
    with pytest.raises(BackendUnavailable, match="before it has seen the file") as caught:
        await instead("raise ImportError('c2pa')", ready=False).read(bytes(300_000))
    assert not caught.value.retryable


@pytest.mark.parametrize("code", ["time.sleep(600)", "os.close(1); time.sleep(600)"])
async def test_a_process_that_hangs_is_ended(instead, code):
    with pytest.raises(BackendUnavailable, match=r"more than 0\.5 s") as caught:
        await instead(code, timeout=0.5).read(bytes(300_000))
    assert caught.value.retryable


@posix
async def test_a_process_that_works_too_hard_is_ended(tmp_path, signed):
    found = await IsolatedManifests(cpu_seconds=0).read(signed(".wav"))
    assert [problem.code for problem in found.problems] == ["manifest.unreadable"]


async def test_a_cancelled_read_ends_its_process(instead):
    started = asyncio.Event()

    def knocked(_, writer):
        started.set()
        writer.transport.abort()

    async with await asyncio.start_server(knocked, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        knock = f"import socket; socket.create_connection({address}).close(); time.sleep(600)"
        task = asyncio.ensure_future(instead(knock).read(bytes(300_000)))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
