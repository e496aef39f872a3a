"""The plan's example and its YAML, unchanged."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts import load_config
from storycore_tts.testing.comfyui import StandInProcess

EXAMPLE = """
config = QwenTTSConfig(comfyui_url="http://127.0.0.1:8188", model_choice="1.7B", device="cuda", precision="bf16")
client = QwenTTSComfyUIClient(config)
result = await client.generate_voice(text="Hello, this is a test.", speaker="Ryan", language="English", instruct="Speak with a warm, friendly tone")
result.audio_path                                    # a speech file on this machine
result = await client.generate_custom_voice(text="This is my custom voice.", custom_model_path="D:\\\\checkpoints\\\\checkpoint-epoch-9", custom_speaker_name="贞贞")
result = await client.clone_voice(ref_audio="reference.wav", target_text="This will sound like the reference.", language="Auto")
training_result = await client.train_model(audio_folder="/path/to/audio/dataset", output_dir="/path/to/output", speaker_name="new_speaker", language="English", num_epochs=10, learning_rate=0.00002)
"""  # noqa: E501 — word for word

PROGRAM = """
import asyncio
from storycore_tts import QwenTTSComfyUIClient, QwenTTSConfig

async def main():
{example}
    import soundfile
    samples, rate = soundfile.read(result.audio_path)
    assert rate == 24000 and abs(samples).max() > 0.05 and 1 < len(samples) / rate < 10
    assert result.x_vector_only and "x-vector only" in result.warnings[0]
    assert training_result.checkpoint_path == "/path/to/output/checkpoint-epoch-9"
    assert training_result.epochs == len(training_result.loss_history) == 10
    print("done", result.audio_path)

asyncio.run(main())
"""


@pytest.fixture
def server(tmp_path: Path):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    for number in range(4):
        (dataset / f"{number}.wav").write_bytes(b"RIFF")
        (dataset / f"{number}.txt").write_text("Some words.", encoding="utf-8")
    server = StandInProcess(
        port=8188,
        checkpoints={"D:\\checkpoints\\checkpoint-epoch-9": ["贞贞"]},
        server_paths={"/path/to/audio/dataset": dataset, "/path/to/output": tmp_path / "out"},
    )
    try:
        server.start()
    except OSError:
        pytest.skip("port 8188 is taken: stop what listens there, the plan's example wants it")
    yield server
    server.stop()


def run(program: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *options, "-c", program],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_plans_example_runs_and_leaks_nothing_without_aclose(
    server: StandInProcess, tmp_path: Path
):
    tone = 0.3 * np.sin(np.arange(96_000) * 2 * np.pi * 220 / 24_000)
    soundfile.write(tmp_path / "reference.wav", tone, 24_000)
    ended = run(PROGRAM.format(example=textwrap.indent(EXAMPLE, "    ")), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("done")
    assert "Warning" not in ended.stderr, ended.stderr
    assert server.log.wait_for(lambda log: log.open_sockets == 0)


def test_the_plans_yaml_is_the_default(tmp_path: Path):
    block = textwrap.dedent(
        """\
        tts:
          qwen:
            backend: comfyui  # direct or comfyui
            comfyui_url: http://127.0.0.1:8188
            model_choice: 1.7B
            device: cuda
            precision: bf16
            default_speaker: Ryan
            generation: {max_new_tokens: 2048, top_p: 0.8, top_k: 20, temperature: 1.0, repetition_penalty: 1.05}
            training: {learning_rate: 0.00002, num_epochs: 10, batch_size: 1, gradient_accumulation_steps: 4}
        """  # noqa: E501 — word for word
    )
    file = tmp_path / "plan.yaml"
    file.write_text(block, encoding="utf-8")
    default = (Path(__file__).parents[2] / "config" / "default.yaml").read_text(encoding="utf-8")
    assert block in default
    assert load_config(file, environ={}).config == load_config(environ={}).config


def test_a_client_used_in_one_loop_after_another(standin_comfyui, tmp_path: Path):
    """As a synchronous caller does it: asyncio.run for each line; closed twice, once, or never."""
    program = f"""
import asyncio
from storycore_tts import QwenTTSComfyUIClient

async def main(client, closings):
    result = await client.generate_voice("Hello.")
    assert result.duration > 0.2
    for _ in range(closings):
        await client.aclose()

for closings in (2, 1, 0):
    client = QwenTTSComfyUIClient(comfyui_url={standin_comfyui.url!r})
    for _ in range(3):
        asyncio.run(main(client, closings))
"""
    ended = run(program, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "Warning" not in ended.stderr, ended.stderr


async def test_async_with_closes_the_socket(standin_comfyui, make_adapter):
    adapter = make_adapter(standin_comfyui.url)
    await adapter.speakers()
    assert await standin_comfyui.log.until(lambda log: log.open_sockets == 1)
    await adapter.aclose()
    assert await asyncio.to_thread(standin_comfyui.log.wait_for, lambda log: log.open_sockets == 0)
