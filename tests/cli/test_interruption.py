"""Ctrl-C and SIGTERM: exit status 130, and the job is off the server."""

import asyncio
import io
import signal
import sys

import pytest

from storycore_tts.entrypoints.cli import main
from storycore_tts.entrypoints.cli.interrupts import heeded, run_async

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize(("number", "modern"), [(SIGNALS[0], True), (SIGNALS[1], False)])
def test_a_running_job_is_interrupted(start, standin_comfyui_factory, number, modern):
    server = standin_comfyui_factory(instant=True, modern=modern)
    gate = server.faults.hold("running")
    child = start("say", "Hello.", "--url", server.url)
    assert gate.reached.wait(60)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "error: Interrupted."
    assert "Traceback" not in err
    gate.release()
    assert server.log.wait_for(lambda log: log.interrupted == log.submitted, 60)


def test_a_waiting_job_leaves_the_queue(start, server, recording):
    gate = server.faults.hold("queue")
    child = start("clone", recording, "Second.", "--url", server.url, "--json")
    assert server.log.wait_for(lambda log: log.submitted, 60)
    assert gate.reached.wait(60)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert '"type": "Interrupted"' in out
    assert server.log.deleted == server.log.submitted
    gate.release()


@pytest.fixture
def not_ignored():
    """Let SIGINT interrupt, also where whoever started the tests had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupting(io.RawIOBase):
    """A stream at which a signal comes when it is used."""

    def __init__(self, number):
        self._number = number

    def readable(self):
        return True

    def readinto(self, _):
        signal.raise_signal(self._number)

    def write(self, _):
        signal.raise_signal(self._number)


@pytest.mark.usefixtures("not_ignored")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_signal_where_no_event_loop_runs(capsys, monkeypatch, number):
    before = signal.getsignal(signal.SIGTERM)
    stdin = io.TextIOWrapper(io.BufferedReader(Interrupting(number)))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["say", "-", "--backend", "draft", "--debug"]) == 130
    assert capsys.readouterr().err == "error: Interrupted.\n"
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(sys, "stdout", Interrupting(signal.SIGINT))
    assert main(["--version"]) == main(["--help"]) == 130  # while the arguments are read


@pytest.mark.usefixtures("not_ignored")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_second_signal_does_not_keep_the_job_from_being_taken_back(number):
    taken_back = []

    async def work():
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(number)
            for _ in range(10):
                await asyncio.sleep(0)
            taken_back.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_async(work())
    assert taken_back


@pytest.mark.usefixtures("not_ignored")
def test_a_signal_is_not_lost_with_the_task_or_the_destructor_that_it_met(capsys):
    async def done_at_once():
        signal.raise_signal(signal.SIGINT)  # as while a package is imported

    class Met:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_async(done_at_once())

    def work():
        Met()
        run_async(never())

    async def never():
        raise AssertionError("it was interrupted before")

    with pytest.raises(KeyboardInterrupt), heeded():
        work()
    assert capsys.readouterr().err == ""
