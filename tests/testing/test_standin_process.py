"""The stand-in as a process: the command, the kill, the fixtures of the plugin."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest
import websockets

from storycore_tts.testing.comfyui import Answer, StandInProcess, binary_frame
from storycore_tts.testing.comfyui.command import parse


@pytest.fixture
def process():
    with StandInProcess(instant=True) as running:
        yield running


async def test_a_killed_server_takes_everything_but_its_log_with_it(process, connect, voice_graph):
    client = await connect(process)
    gate = process.faults.hold("running")
    running = await client.submit(voice_graph(seed=1), prompt_id="running")
    assert await asyncio.to_thread(gate.reached.wait, 5)
    waiting = await client.submit(voice_graph(seed=2), prompt_id="waiting")
    url = process.url

    await asyncio.to_thread(process.kill)
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        await client.frames_of_run()
    assert closed.value.rcvd is None  # what clients call 1006
    assert process.log.submitted == [running, waiting]
    assert process.log.executions(running) == 1
    assert process.log.executed_ids == []

    await asyncio.to_thread(process.restart)
    assert process.url == url
    again = await connect(process)
    assert await again.history(running) == {}
    assert (await again.http.get("/queue")).json() == {"queue_running": [], "queue_pending": []}
    done, _ = await again.run(voice_graph(seed=1))
    assert await process.log.until(lambda log: log.executed_ids == [done])
    assert process.log.http_count("/prompt", "POST") == 3


async def test_faults_and_gates_work_from_outside(process, connect, voice_graph):
    client = await connect(process)
    process.faults.add(Answer(path="/queue", status=502), binary_frame(on="execution_start"))
    assert len(process.faults.pending) == 2
    assert (await client.http.get("/queue")).status_code == 502
    gate = process.faults.hold("running")
    await client.submit(voice_graph())
    assert await asyncio.to_thread(gate.reached.wait, 5)
    messages = [await client.ws.recv() for _ in range(3)]
    assert isinstance(messages[2], bytes)
    gate.release()
    await client.frames_of_run()
    process.faults.add(Answer(path="/queue", status=502))
    process.faults.clear()
    assert (await client.http.get("/queue")).status_code == 200
    records = (await client.http.get("/standin/log")).json()
    assert {"Submitted", "Finished", "FaultUsed"} <= {record["kind"] for record in records}
    nonsense = await client.http.post("/standin/faults", json={"kind": "Earthquake"})
    assert nonsense.status_code == 400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_address_first_and_ends_with_0(number):
    command = [sys.executable, "-m", "storycore_tts.testing.comfyui", "--instant"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        line = child.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        child.send_signal(number)
        assert child.wait(10) == 0


def test_the_commands_arguments_are_the_options(tmp_path):
    options = parse(
        [
            "--modern", "--instant", "--no-cuda", "--no-node-pack", "--port=8188",
            "--checkpoint", "/m/emma=Emma,Bea", "--checkpoint", "/m/base=",
            "--path-prefix=/comfy", "--token=t", f"--log={tmp_path / 'log'}",
            "--seconds-per-step=0.5", "--real-time-factor=2", "--history-limit=5",
        ]
    )  # fmt: skip
    assert (options.modern, options.instant) == (True, True)
    assert (options.has_cuda, options.node_pack) == (False, False)
    assert options.checkpoints == {"/m/emma": ["Emma", "Bea"], "/m/base": []}
    assert (options.port, options.prefix, options.token) == (8188, "/comfy", "t")
    assert options.log_file == tmp_path / "log"
    assert (options.seconds_per_step, options.real_time_factor) == (0.5, 2)
    assert options.history_limit == 5
    with pytest.raises(SystemExit):
        parse(["--checkpoint", "nonsense"])


def test_the_plugin_imports_nothing_heavy():
    heavy = "{'aiohttp', 'numpy', 'httpx', 'soundfile'} & set(sys.modules)"
    code = f"import sys, storycore_tts.testing.pytest_plugin; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
