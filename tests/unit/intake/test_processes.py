"""Children that misbehave, and what is left of them: nothing."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from storycore_tts.adapters.intake import IntakeLimits, RecordingReader
from storycore_tts.adapters.intake.child import DECODER
from storycore_tts.domain.errors import BackendUnavailable, InvalidReferenceAudio
from storycore_tts.testing.event_loop import stays_free

posix = pytest.mark.skipif(sys.platform == "win32", reason="limits that Windows does not have")


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


def children():
    return psutil.Process().children(recursive=True)


async def until(condition):
    """Wait for what happens in another process."""
    while not condition():
        await asyncio.sleep(0.01)


async def refusal(worker, recording, **limits):
    async with RecordingReader(IntakeLimits(**limits), worker=worker) as reader:
        with pytest.raises(InvalidReferenceAudio) as caught:
            await reader.read(recording())
        return caught.value.message


async def test_a_child_that_hangs_is_stopped_when_its_time_is_up(worker, recording):
    begun = time.perf_counter()
    message = await refusal(worker("read(); time.sleep(600)"), recording, timeout=1)
    assert "more than 1 s" in message
    assert time.perf_counter() - begun < 20


async def test_a_child_that_never_reads_is_stopped_as_well(worker, recording):
    data_larger_than_a_pipe = recording(seconds=10)
    script = worker("time.sleep(600)")
    async with RecordingReader(IntakeLimits(timeout=1), worker=script) as reader:
        with pytest.raises(InvalidReferenceAudio, match="more than 1 s"):
            await reader.read(data_larger_than_a_pipe)


@posix
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGBUS"])
async def test_a_crash_is_a_refusal_that_names_it(name, worker, recording):
    code = f"read(); rights(); os.kill(os.getpid(), signal.{name})"
    assert f"crashed ({name})" in await refusal(worker(code), recording)


@pytest.mark.parametrize("code", ["sys.exit(3)", "read(); sys.exit(3)", "read(); os._exit(3)"])
async def test_a_child_that_gives_up_is_a_refusal(code, worker, recording):
    assert "exit status 3" in await refusal(worker(code), recording)


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
    message = await refusal(worker("rights(); read()\nwhile True: pass"), recording, cpu_seconds=1)
    assert "more than 1 s of processor time" in message


@posix
@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "open('/tmp/storycore-intake-attack', 'w')",
        "socket.socket()",
        "os.pipe()",
        "subprocess.Popen(['true'])",
    ],
)
async def test_files_sockets_and_processes_are_out_of_reach(attempt, worker, recording):
    code = f"""
        rights(); read()
        try:
            {attempt}
        except OSError as error:
            refuse("no such right")
        else:
            refuse("it could")
    """
    assert "no such right" in await refusal(worker(code), recording)


async def test_the_environment_stays_here(worker, recording, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    message = await refusal(worker("read(); refuse(','.join(sorted(os.environ)))"), recording)
    assert "SECRET" not in message
    assert "HOME" not in message
    assert "OPENBLAS_NUM_THREADS" in message


async def test_a_child_holds_nothing_of_this_package(worker, recording):
    code = """
        sys.path += sys.argv[5:]
        import soundfile
        read()
        heavy = {'storycore_tts', 'pydantic', 'httpx', 'asyncio', 'torch', 'av'}
        refuse(','.join(heavy & set(sys.modules)) or 'nothing')
    """
    assert "recording: nothing" in await refusal(worker(code), recording)


@pytest.mark.parametrize(
    "answer",
    [
        "b'garbage' * 100",
        "b'S' + struct.pack('<I', 2**32 - 1) + b'x' * 100",
        "b'S' + struct.pack('<I', 3) + b'xxx'",
        "b'S' + struct.pack('<I', 400) + bytes(400)",  # samples without a rate
        "b'R' + struct.pack('<I', 9) + bytes(9)",
        "b'?' + struct.pack('<I', 0)",
        "b'R' + struct.pack('<II', 4, 24000)",
        "b''",
    ],
)
async def test_nonsense_is_a_refusal(answer, worker, recording):
    code = f"read(); sys.stdout.buffer.write({answer}); sys.stdout.flush()"
    assert "decoder" in await refusal(worker(code), recording)


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


@posix
async def test_grandchildren_go_too(worker, recording):
    code = """
        read()
        subprocess.Popen(["/bin/sleep", "600"])
        time.sleep(600)
    """
    await refusal(worker(code), recording, timeout=1)
    assert not children()


@posix
async def test_a_child_killed_in_the_middle_is_a_refusal_and_the_next_one_works(worker, recording):
    async with RecordingReader(worker=worker("read(); time.sleep(600)")) as reader:
        task = asyncio.ensure_future(reader.read(recording()))
        await until(lambda: children() and reader._busy)
        (busy,) = reader._busy
        await until(lambda: busy._process)
        os.kill(busy._process.pid, signal.SIGKILL)
        with pytest.raises(InvalidReferenceAudio, match="SIGKILL"):
            await task


async def test_a_spare_that_died_is_replaced_unnoticed(recording):
    async with RecordingReader() as reader:
        await until(lambda: reader._spare._process)
        reader._spare._process.kill()
        await until(lambda: not reader._spare.is_fit)
        assert (await reader.read(recording())).duration == 1


@pytest.mark.parametrize("wait", [0, 0.01, 0.5])
async def test_cancelling_leaves_no_process(wait, worker, recording):
    reader = RecordingReader(worker=worker("read(); time.sleep(600)"))
    task = asyncio.ensure_future(reader.read(recording()))
    await asyncio.sleep(wait)
    busy = list(reader._busy)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for child in busy:
        assert child._process is None or child._process.returncode is not None
    await reader.aclose()
    assert not children()


async def test_cancelling_twice_leaves_no_process_either(worker, recording):
    reader = RecordingReader(worker=worker("read(); time.sleep(600)"))
    task = asyncio.ensure_future(reader.read(recording()))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await reader.aclose()
    assert not children()


async def test_cancelled_while_waiting_for_a_turn(worker, recording):
    async with RecordingReader(
        IntakeLimits(timeout=2), concurrency=1, worker=worker("read(); time.sleep(600)")
    ) as reader:
        first, second = (asyncio.ensure_future(reader.read(recording())) for _ in range(2))
        await asyncio.sleep(0.1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        with pytest.raises(InvalidReferenceAudio, match="more than 2 s"):
            await first


async def test_closing_ends_what_runs_and_refuses_what_comes(worker, recording):
    reader = RecordingReader(concurrency=1, worker=worker("read(); time.sleep(600)"))
    running = [asyncio.ensure_future(reader.read(recording())) for _ in range(3)]
    await until(lambda: children())
    await reader.aclose()
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(outcome, BackendUnavailable)
    with pytest.raises(BackendUnavailable, match="closed"):
        await reader.read(recording())
    await reader.aclose()
    assert not children()


async def test_no_interpreter_is_said_plainly(recording, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with RecordingReader() as reader:
        with pytest.raises(BackendUnavailable, match="Cannot start the process"):
            await reader.read(recording())


async def test_fifty_at_once_take_turns(recording):
    here, most = psutil.Process(), 0

    async def watch():
        nonlocal most
        while True:
            most = max(most, len(here.children()))
            await asyncio.sleep(0.02)

    async with RecordingReader(concurrency=2) as reader:
        watcher = asyncio.ensure_future(watch())
        data = [recording(seconds=0.5 + i / 50) for i in range(50)]
        found = await asyncio.gather(*(reader.read(each) for each in data))
        watcher.cancel()
        assert [round(f.duration, 2) for f in found] == [round(0.5 + i / 50, 2) for i in range(50)]
        assert most <= 3 + 1  # two that decode, one spare, one that is just being reaped


async def test_the_event_loop_stands_still_for_no_more_than_fifty_milliseconds(recording):
    data = recording(seconds=100, rate=48_000, channels=1)
    async with RecordingReader() as reader:
        await stays_free(
            lambda: asyncio.gather(*(reader.read(data) for _ in range(6))), within=0.05
        )


@posix
def test_a_parent_that_dies_takes_its_children_along(tmp_path, recording):
    (tmp_path / "a.wav").write_bytes(recording())
    program = f"""
        import asyncio, os, sys
        from pathlib import Path
        from storycore_tts.adapters.intake import RecordingReader
        async def main():
            reader = RecordingReader()
            await reader.read(Path({str(tmp_path / "a.wav")!r}).read_bytes())
            while not (reader._spare and reader._spare._process):
                await asyncio.sleep(0.01)
            print(reader._spare._process.pid, flush=True)
            os._exit(1)
        asyncio.run(main())
    """
    root = str(Path(sys.modules["storycore_tts"].__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        timeout=60,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
