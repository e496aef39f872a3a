"""Children that misbehave, and what is left of them: nothing."""

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from storycore_tts.adapters.audio_intake import IntakeLimits, RecordingReader
from storycore_tts.adapters.audio_intake.child import DECODER
from storycore_tts.errors import (
    BackendOverloaded,
    BackendUnavailable,
    InvalidReferenceAudio,
)
from storycore_tts.testing.event_loop import stays_free

posix = pytest.mark.skipif(sys.platform == "win32", reason="limits that Windows does not have")

HANGS = "read(); time.sleep(600)"


@pytest.fixture
def worker(tmp_path):
    """Makes a script that takes the decoder's place; ``rights`` gives up what the decoder does."""

    def make(code):
        script = tmp_path / "worker.py"
        start = f"""
            import os, runpy, signal, socket, struct, subprocess, sys, time
            decoder = runpy.run_path({str(DECODER)!r})
            def rights():
                decoder["_give_up_rights"](int(sys.argv[1]), int(sys.argv[2]))
            def refuse(text):
                decoder["_send"](b"E", text.encode())
            def read():
                return sys.stdin.buffer.read()
        """
        script.write_text(textwrap.dedent(start) + textwrap.dedent(code))
        return script

    return make


OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def _others():
    """Other tests of this process may have left servers that they share."""
    OTHERS.update(child.pid for child in psutil.Process().children(recursive=True))


def children():
    """Return the processes that were started since the test began."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child.pid not in OTHERS]


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def until(condition):
    """Wait for what happens in another process."""
    while not condition():
        await asyncio.sleep(0.01)


async def refusal(worker, recording, **limits):
    async with RecordingReader(IntakeLimits(**limits), worker=worker) as reader:
        with pytest.raises(InvalidReferenceAudio) as caught:
            await reader.read(recording())
        return caught.value.message


@posix
async def test_a_child_that_hangs_is_stopped_with_all_that_it_started(worker, recording, tmp_path):
    code = f"""
        started = subprocess.Popen(["/bin/sleep", "600"])
        open({str(tmp_path / "pid")!r}, "w").write(str(started.pid))
        {HANGS}
    """
    # A machine that stalls must have started the grandchild before the time is up.
    async with RecordingReader(IntakeLimits(timeout=1), worker=worker(code)) as reader:
        await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        with pytest.raises(InvalidReferenceAudio, match="more than 1 s"):
            await reader.read(recording())
    await until(lambda: is_gone(int((tmp_path / "pid").read_text())))


async def test_a_child_that_never_reads_is_stopped_as_well(worker, recording):
    data_larger_than_a_pipe = recording(seconds=10)
    script = worker("time.sleep(600)")
    async with RecordingReader(IntakeLimits(timeout=0.3), worker=script) as reader:
        with pytest.raises(InvalidReferenceAudio, match=r"more than 0\.3 s"):
            await reader.read(data_larger_than_a_pipe)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(3)", "exit status 3"),
        ("read(); os._exit(3)", "exit status 3"),
        pytest.param("read(); os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", marks=posix),
        pytest.param(
            "read(); rights(); os.kill(os.getpid(), signal.SIGSEGV)", "(SIGSEGV)", marks=posix
        ),
        # Nonsense for an answer.
        *(
            (f"read(); sys.stdout.buffer.write({answer}); sys.stdout.flush()", "decoder")
            for answer in (
                "b'S' + struct.pack('<I', 2**32 - 1) + b'x' * 100",
                "b'S' + struct.pack('<I', 400) + bytes(400)",  # samples without a rate
                "b'R' + struct.pack('<I', 9) + bytes(9)",
                "b'?' + struct.pack('<I', 0)",
                "b'R' + struct.pack('<II', 4, 24000)",
            )
        ),
    ],
)
async def test_a_child_that_fails_is_a_refusal_that_says_how(code, said, worker, recording):
    assert said in await refusal(worker(code), recording)


@posix
async def test_memory_is_limited(worker, recording):
    code = """
        rights(); read()
        blocks = []
        try:
            while True:
                blocks.append(bytearray(2**24))
        except MemoryError:
            refuse(f"stopped after {len(blocks) * 16} MiB")
    """
    message = await refusal(worker(code), recording, memory=256 * 2**20)
    assert 16 <= int(message.split("after ")[1].split()[0]) < 256


@posix
async def test_processor_time_is_limited(worker, recording):
    code = "rights(); read()\nwhile True: pass"
    message = await refusal(worker(code), recording, cpu_seconds=1, timeout=100)
    assert "more than 1 s of processor time" in message


@posix
async def test_files_sockets_and_processes_are_out_of_reach(worker, recording):
    code = """
        rights(); read()
        could = []
        for attempt in (
            lambda: open("/etc/passwd"),
            lambda: open("/tmp/storycore-intake-attack", "w"),
            lambda: socket.socket(),
            lambda: os.pipe(),
            lambda: subprocess.Popen(["true"]),
        ):
            try:
                could.append(repr(attempt()))
            except OSError:
                pass
        refuse(",".join(could) or "nothing at all")
    """
    assert "nothing at all" in await refusal(worker(code), recording)


async def test_a_child_gets_neither_our_environment_nor_our_modules(worker, recording, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    code = """
        sys.path += sys.argv[5:]
        import soundfile
        read()
        heavy = {'storycore_tts', 'pydantic', 'httpx', 'asyncio', 'torch', 'av'}
        refuse(','.join([*sorted(os.environ), *(heavy & set(sys.modules))]))
    """
    message = await refusal(worker(code), recording)
    names = set(message.removesuffix(".").rpartition(" ")[2].split(","))
    assert "OPENBLAS_NUM_THREADS" in names
    assert names <= {"OPENBLAS_NUM_THREADS", "LD_LIBRARY_PATH", "LC_CTYPE", "SYSTEMROOT"}


async def test_a_child_that_never_stops_answering_is_cut_off(worker, recording):
    code = """
        read()
        decoder["_send"](b"R", struct.pack("<I", 2**32 - 1))
        while True:
            decoder["_send"](b"S", bytes(2**20))
    """
    begun = psutil.Process().memory_info().rss
    message = await refusal(worker(code), recording, max_seconds=10)
    assert "decoder" in message
    assert psutil.Process().memory_info().rss - begun < 200 * 2**20


async def test_what_a_child_says_is_shown_without_control_characters(worker, recording):
    message = await refusal(worker(r"read(); refuse('a\x1b[2J\r\nb' + 'c' * 9000)"), recording)
    assert message.isprintable()
    assert len(message) < 400


async def test_a_spare_that_died_is_replaced_unnoticed(recording):
    async with RecordingReader() as reader:
        await until(lambda: reader._spare._process)
        reader._spare._process.kill()
        await until(lambda: not reader._spare.is_fit)
        assert (await reader.read(recording())).duration == 1


@pytest.mark.parametrize("started", [False, True], ids=["at once", "while it decodes"])
async def test_cancelling_leaves_no_process(started, worker, recording):
    reader = RecordingReader(worker=worker(HANGS))
    task = asyncio.ensure_future(reader.read(recording()))
    await until(lambda: reader._busy and (children() or not started))
    (busy,) = reader._busy
    for _ in range(2):  # a person who presses Ctrl-C twice
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await reader.aclose()
    assert busy._process is None or busy._process.returncode is not None
    assert not children()


async def test_more_than_may_wait_are_refused_until_a_place_is_free(worker, recording):
    reader = RecordingReader(concurrency=1, max_waiting=1, worker=worker(HANGS))
    running, waiting = (asyncio.ensure_future(reader.read(recording())) for _ in range(2))
    await until(lambda: reader._busy)
    with pytest.raises(BackendOverloaded, match="2 recordings are being decoded") as refused:
        await reader.read(recording())
    assert refused.value.retryable
    assert refused.value.retry_after

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    another = asyncio.ensure_future(reader.read(recording()))  # takes the place
    await asyncio.sleep(0)
    await reader.aclose()
    for outcome in await asyncio.gather(running, another, return_exceptions=True):
        assert isinstance(outcome, BackendUnavailable)
        assert "closed" in outcome.message
    with pytest.raises(BackendUnavailable, match="closed"):
        await reader.read(recording())
    await reader.aclose()
    assert not children()


async def test_no_interpreter_is_said_plainly(recording, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with RecordingReader() as reader:
        with pytest.raises(BackendUnavailable, match="Cannot start the process"):
            await reader.read(recording())


async def test_many_at_once_take_turns(recording):
    async with RecordingReader(concurrency=2) as reader:
        most = 0

        async def read(seconds):
            nonlocal most
            found = await reader.read(recording(seconds=seconds))
            most = max(most, len(reader._busy))
            return round(found.duration, 2)

        lengths = [0.5 + n / 10 for n in range(6)]
        assert await asyncio.gather(*map(read, lengths)) == lengths
        assert most <= 2


async def test_the_event_loop_stands_still_for_no_more_than_fifty_milliseconds(recording):
    data = recording(seconds=60, rate=48_000)
    async with RecordingReader() as reader:
        await stays_free(lambda: asyncio.gather(reader.read(data), reader.read(data)), within=0.05)


@posix
async def test_a_parent_that_dies_takes_its_children_along():
    program = """
        import asyncio, os
        from storycore_tts.adapters.audio_intake import RecordingReader
        async def main():
            reader = await RecordingReader().__aenter__()
            while not reader._spare._process:
                await asyncio.sleep(0.01)
            print(reader._spare._process.pid, flush=True)
            os._exit(1)
        asyncio.run(main())
    """
    root = str(Path(sys.modules["storycore_tts"].__file__).parents[1])
    run = [sys.executable, "-c", textwrap.dedent(program)]
    how = {"capture_output": True, "text": True, "timeout": 60}
    environ = {**os.environ, "PYTHONPATH": root}
    done = await asyncio.to_thread(subprocess.run, run, env=environ, **how)
    await until(lambda: is_gone(int(done.stdout)))
