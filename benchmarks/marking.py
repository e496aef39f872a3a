"""What each layer of marking costs for one line: milliseconds and bytes.

Compares ``Speech.encode`` with ``soundfile.write``, which is what a script would use instead, on
the same samples, in turn, in one run. The layers are added one after another: tags, the signature,
the record in the ledger. The watermark is measured by ``watermark.py``. The last row is the check
of a stored voice's consent, which happens twice for each line.

    python benchmarks/marking.py
    python benchmarks/marking.py --seconds 60 --rounds 20
    python benchmarks/marking.py --json
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from storycore_tts import ReferenceAudio, Speech, SpeechRequest, StoredVoice, VoiceLibrary
from storycore_tts.adapters import c2pa
from storycore_tts.adapters.ledger import Ledger
from storycore_tts.services.marking import Marking, MarkingPolicy
from storycore_tts.settings.marking import MarkingConfig

RATE = 24_000  # Hz
FORMATS = (".wav", ".flac", ".mp3")


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the line")
    parser.add_argument("--rounds", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measured(Path(folder), asked.seconds, asked.rounds)
    report(asked.seconds, result)
    if asked.json:
        print(json.dumps(result))
    return 0


def measured(folder: Path, seconds: float, rounds: int) -> dict[str, float]:
    """Return the medians in milliseconds, and the sizes in bytes, by format and layer."""
    speech = _line(seconds)
    found: dict[str, float] = {}
    for suffix in FORMATS:
        ways = _ways(folder, speech, suffix)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for made in ways.values():
            made()  # loads, and makes the key
        for _ in range(rounds):
            for name, made in ways.items():
                began = time.perf_counter()
                data = made()
                times[name].append((time.perf_counter() - began) * 1000)
                found[f"{suffix[1:]}_{name}_bytes"] = len(data)
        for name, each in times.items():
            found[f"{suffix[1:]}_{name}_ms"] = round(statistics.median(each), 3)
    return {**found, "consent_ms": round(_consent_ms(folder, rounds), 3)}


def _ways(folder: Path, speech: Speech, suffix: str) -> dict[str, Callable[[], bytes]]:
    signer = c2pa.create(MarkingConfig(sign="required"), folder=folder / "key")
    records = Ledger(folder / "ledger.jsonl")
    markings = {
        "plain": Marking(MarkingPolicy(enabled=False)),
        "tagged": Marking(),
        "signed": Marking(signer=signer),
        "recorded": Marking(signer=signer, records=records),
    }

    def way(marking: Marking) -> Callable[[], bytes]:
        return lambda: replace(speech, marker=marking).encode(suffix)

    ours = {name: way(marking) for name, marking in markings.items()}
    return {"script": lambda: _by_script(speech, suffix), **ours}


def _by_script(speech: Speech, suffix: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, speech.samples, speech.sample_rate, format=suffix[1:].upper())
    return buffer.getvalue()


def _line(seconds: float) -> Speech:
    """Return noise that gets louder and softer as syllables do."""
    at = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(7).normal(0, 0.1, len(at))
    samples = (noise * np.sin(2 * np.pi * 2 * at) ** 2).astype(np.float32)
    request = SpeechRequest("A line that is as long as its noise.", "Ryan")
    return Speech(
        samples, RATE, "comfyui", "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice", request=request,
        created=datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc),
    )  # fmt: skip


def _consent_ms(folder: Path, rounds: int) -> float:
    recording = ReferenceAudio(_line(5.0).samples, RATE, "What is said in the recording.")
    library = VoiceLibrary(folder / "voices")
    library.add(StoredVoice("Mia", consent="Mia agreed on 2026-03-02", reference=recording))
    request = library.get("Mia").request("A line.")
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        library.consents.check(request)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def report(seconds: float, result: dict[str, float]) -> None:
    """Print the table."""
    table = Table(title=f"A line of {seconds:g} s: median ms, bytes")
    table.add_column("made by")
    for suffix in FORMATS:
        table.add_column(suffix, justify="right")
    names = {
        "script": "soundfile.write",
        "plain": "Speech.encode, marking off",
        "tagged": "with tags (the default)",
        "signed": "and signed (extra trust)",
        "recorded": "and recorded in the ledger",
    }
    for key, name in names.items():
        cells = (
            f"{result[f'{suffix[1:]}_{key}_ms']:.1f} ms, {result[f'{suffix[1:]}_{key}_bytes']:,.0f}"
            for suffix in FORMATS
        )
        table.add_row(name, *cells)
    table.add_row("check of a consent", f"{result['consent_ms']:.2f} ms", "", "")
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
