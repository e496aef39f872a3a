"""Throughput of batching in the direct adapter, and latency of its streams.

Generates the same 32 lines with one model in three ways, in one run: 32 sequential calls of
``qwen_tts`` (the baseline), one manual batch of 32 (the upper limit of batching), and 32 concurrent
requests to our adapter. Then a long line, as a stream and as a whole.

    python benchmarks/direct_throughput.py            # tiny random models, built for the run
    python benchmarks/direct_throughput.py --large    # wider and deeper ones
    python benchmarks/direct_throughput.py --model /models/Qwen3-TTS-12Hz-1.7B-CustomVoice
    python benchmarks/direct_throughput.py --json

Goals: at least 4 times the sequential rate, and at least 0.85 of the rate of the manual batch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from storycore_tts import QwenTTSConfig, Sampling, SpeechRequest
from storycore_tts.adapters.direct import DirectAdapter, create
from storycore_tts.testing.tiny_models import build_tiny_models

LINES = [f"{opening} {number} times." for number in range(16) for opening in ("He ran", "We sang")]
LONG = "The old house at the end of the road had been empty for years. " * 2
SPEAKER = "ryan"
DRAWN = Sampling()
AIMS = {"speedup": 4.0, "of_batch": 0.85}


def main() -> int:
    """Measure and report; the exit status is 0 if the goals were met."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument("--large", action="store_true", help="hidden size 512, 8 layers")
    options.add_argument("--model", type=Path, help="a CustomVoice checkpoint of your own")
    options.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    options.add_argument("--rounds", type=int, default=3, help="of which the medians are taken")
    options.add_argument("--threads", type=int, help="torch's threads on a CPU")
    asked = options.parse_args()
    if asked.threads:
        import torch

        torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = asked.model or _random_model(Path(folder), large=asked.large)
        result = asyncio.run(measured(model, device=asked.device, rounds=asked.rounds))
    print(json.dumps(result) if asked.json else _table(result))
    return 0 if all(result[name] >= aim for name, aim in AIMS.items()) else 1


async def measured(model: Path, *, device: str, rounds: int) -> dict[str, Any]:
    """Measure all variants with one loaded model, in turn, so that load affects all equally."""
    config = QwenTTSConfig(
        device=device,
        precision="bf16" if device == "cuda" else "fp32",
        direct={"models": {"1.7B-CustomVoice": str(model)}, "max_batch_size": len(LINES)},
    )
    adapter = create(config)
    times: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        times.setdefault(name, []).append(seconds)

    try:
        await adapter.synthesize(SpeechRequest("Hello.", SPEAKER))  # loads
        (loaded,) = adapter._pool._loaded_models()
        assert loaded.engine is not None
        package = loaded.engine._model
        by_hand(package, LINES)  # warms up
        for _ in range(rounds):
            note("sequential", sum(by_hand(package, [line]) for line in LINES))
            note("batch", by_hand(package, LINES))
            note("ours", await concurrently(adapter))
            first, last = await streamed(adapter)
            note("first_chunk", first)
            note("stream", last)
            note("whole", await spoken(adapter))
    finally:
        await adapter.aclose()
    took = {name: statistics.median(values) for name, values in times.items()}
    return {
        "speedup": round(took["sequential"] / took["ours"], 2),
        "of_batch": round(took["batch"] / took["ours"], 2),
        "first_chunk_share": round(took["first_chunk"] / took["whole"], 3),
        "seconds": {name: round(value, 3) for name, value in took.items()},
        "model": model.name,
    }


def by_hand(package: Any, lines: list[str]) -> float:
    """Return the duration of one call of ``qwen_tts``, in seconds."""
    began = time.perf_counter()
    package.generate_custom_voice(
        text=lines,
        speaker=[SPEAKER] * len(lines),
        language=["Auto"] * len(lines),
        max_new_tokens=512,
        top_p=DRAWN.top_p,
        top_k=DRAWN.top_k,
        temperature=DRAWN.temperature,
        repetition_penalty=DRAWN.repetition_penalty,
    )
    return time.perf_counter() - began


async def concurrently(adapter: DirectAdapter) -> float:
    """Return the duration of all lines as concurrent requests, in seconds."""
    began = time.perf_counter()
    await asyncio.gather(*(adapter.synthesize(SpeechRequest(line, SPEAKER)) for line in LINES))
    return time.perf_counter() - began


async def streamed(adapter: DirectAdapter) -> tuple[float, float]:
    """Return the time to the first and to the last chunk of a stream, in seconds."""
    began, first = time.perf_counter(), None
    request = SpeechRequest(LONG, SPEAKER, sampling=Sampling(seed=1))
    async with contextlib.aclosing(adapter.synthesize_stream(request)) as stream:
        async for _ in stream:
            first = first or time.perf_counter() - began
    assert first is not None
    return first, time.perf_counter() - began


async def spoken(adapter: DirectAdapter) -> float:
    """Return the duration of the same line without streaming, in seconds."""
    began = time.perf_counter()
    await adapter.synthesize(SpeechRequest(LONG, SPEAKER, sampling=Sampling(seed=1)))
    return time.perf_counter() - began


def _random_model(folder: Path, *, large: bool) -> Path:
    shape = {"hidden_size": 512, "layers": 8} if large else {}
    with contextlib.redirect_stdout(sys.stderr):
        return build_tiny_models(folder, **shape).path("custom_voice")


def _table(result: dict[str, Any]) -> str:
    seconds = result["seconds"]
    rows = [
        f"{len(LINES)} lines, {result['model']}",
        f"  one after the other   {seconds['sequential']:8.2f} s",
        f"  one list by hand      {seconds['batch']:8.2f} s",
        f"  our adapter           {seconds['ours']:8.2f} s   {result['speedup']:.1f} times the "
        f"sequential rate (aim {AIMS['speedup']}), {result['of_batch']:.2f} of the list's (aim "
        f"{AIMS['of_batch']})",
        "one long line",
        f"  as a whole            {seconds['whole']:8.2f} s",
        f"  a stream's first chunk{seconds['first_chunk']:8.2f} s   "
        f"{result['first_chunk_share']:.1%} of it; its last {seconds['stream']:.2f} s",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
