"""FB_Qwen3TTSTrain: simulates a fine-tuning."""

from __future__ import annotations

import asyncio
import base64
import math
from pathlib import Path

from .checkpoints import write_checkpoint
from .nodes import OFFLINE, NodeFailed, NodeRun, Result, pause
from .speech import Audio, Speaking, encode, instant_audio, speak

AUDIO_SUFFIXES = {".wav", ".mp3", ".flac", ".ogg", ".m4a"}
REPORT_EVERY = 10
"""Steps between loss reports in an epoch; the first step always reports."""


async def train(run: NodeRun) -> Result:
    """Run the node: checks, encoding, steps, validation, checkpoints."""
    inputs = run.inputs
    folder = run.server.options.on_disk(inputs["audio_folder"])
    if not folder.is_dir():
        raise NodeFailed("ValueError", f"Audio folder not found: {inputs['audio_folder']}")
    say(run, "Initializing...")
    say(run, "Loading Base Model...")
    if not run.server.options.has_cuda:
        raise NodeFailed("AssertionError", "Torch not compiled with CUDA enabled")
    # Training unloads the model of the voice nodes.
    run.model.key = None
    await pause(run.server.options.model_load_seconds)
    if inputs["init_model"].rpartition("/")[2] not in run.server.options.models:
        raise NodeFailed("OSError", OFFLINE)
    pairs = count_pairs(folder)
    say(run, f"Encoding {pairs} samples...")
    if not pairs:
        raise NodeFailed("ValueError", "No valid audio/txt pairs found in folder.")
    say(run, "Starting Training...")
    _check_init_model(inputs["init_model"])
    checkpoint = await _epochs(run, math.ceil(pairs / inputs["batch_size"]))
    say(run, "Done!")
    return Result((checkpoint,))


def count_pairs(folder: Path) -> int:
    """Return the number of audio files with a transcript of the same name."""
    return sum(
        path.suffix.lower() in AUDIO_SUFFIXES and path.with_suffix(".txt").is_file()
        for path in folder.iterdir()
    )


def _check_init_model(name: str) -> None:
    if not name.endswith("-Base"):
        # Only base models have the speaker encoder, which training uses.
        raise NodeFailed("TypeError", "'NoneType' object is not callable")
    if "0.6B" in name:
        # The node adds text and talker embeddings, which differ in width in the 0.6B model.
        raise NodeFailed(
            "RuntimeError",
            "The size of tensor a (2048) must match the size of tensor b (1024) "
            "at non-singleton dimension 2",
        )


async def _epochs(run: NodeRun, steps: int) -> str:
    inputs = run.inputs
    epochs = inputs["num_epochs"]
    checkpoint: str = inputs["output_dir"]
    for epoch in range(epochs):
        for step in range(steps):
            await run.hold("running")
            await pause(run.server.options.seconds_per_step)
            run.progress(epoch * steps + step + 1, epochs * steps)
            if step % REPORT_EVERY == 0:
                update(run, "progress", epoch=epoch + 1, loss=_loss(epoch * steps + step))
        if (epoch + 1) % inputs["validate_every"] == 0 or epoch == epochs - 1:
            # Folders count epochs from 0, frames from 1.
            checkpoint = f"{inputs['output_dir'].rstrip('/')}/checkpoint-epoch-{epoch}"
            write_checkpoint(run.server.options.on_disk(checkpoint), inputs["speaker_name"])
            update(run, "validation", epoch=epoch + 1, audio_base64=await _sample(run, checkpoint))
    return checkpoint


def _loss(step: int) -> float:
    """Return a loss that decreases quickly, then slowly, towards 1.5."""
    return 1.5 + 8.5 * math.exp(-step / 20)


async def _sample(run: NodeRun, checkpoint: str) -> str:
    name = run.inputs["speaker_name"].lower()
    speaking = Speaking(
        text=run.inputs["test_text"],
        speaker=name,
        language=run.inputs["language"],
        character=f"{checkpoint} {name}",
    )
    if run.server.options.instant:
        audio = instant_audio()
    else:
        audio = Audio(await asyncio.to_thread(speak, speaking))
    wav = base64.b64encode(encode(audio, "WAV")).decode()
    return f"data:audio/wav;base64,{wav}"


def say(run: NodeRun, message: str) -> None:
    """Broadcast a status line."""
    update(run, "status", message=message)


def update(run: NodeRun, kind: str, **data: object) -> None:
    """Broadcast a training update to all clients, without a prompt id."""
    event = {"node": run.node_id, "type": kind, **data}
    run.server.broadcast("qwen3tts_training_update", event)
