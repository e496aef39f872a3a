"""What the watermark survives, what it costs, and how often one is found where none is.

Lines of the draft backend, in several voices and languages, are marked and then distorted in each
of the ways below: coded, resampled, cut, stretched, shifted, mixed. Unmarked lines, tones, noise
and filtered speech show the false alarms. Your own recordings (--recordings) are measured both
unmarked and marked.

    python benchmarks/watermark.py [--rounds 12] [--unmarked 200] [--recordings FOLDER] [--json]

Goal: found after mp3 at 64 kbit/s, and no false alarm in the unmarked lines. Needs the extras
``watermark``, ``draft`` and ``media``.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import soxr
from rich.console import Console
from rich.table import Table

from storycore_tts.adapters.perth import PerthWatermark
from storycore_tts.container import open_tts
from storycore_tts.ports.marking import WatermarkScore
from storycore_tts.settings import QwenTTSConfig
from storycore_tts.sound.files import decode, encode
from storycore_tts.sound.pace import pitched, stretched
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

LINES = {
    "English": "Every morning the small robot climbed the tower, number {}, and looked at the sea.",
    "German": "Es war einmal ein kleiner Roboter, Nummer {}, der jeden Morgen auf den Turm stieg.",
    "French": "Il était une fois un petit robot, numéro {}, qui montait chaque matin à la tour.",
    "Spanish": "Había una vez un pequeño robot, el número {}, que subía a la torre por la mañana.",
    "Italian": "C'era una volta un piccolo robot, numero {}, che ogni mattina saliva sulla torre.",
    "Portuguese": "Era uma vez um pequeno robô, número {}, que subia à torre todas as manhãs.",
    "Russian": "Жил-был маленький робот, номер {}, который каждое утро поднимался на башню.",
}
SPEAKERS = ("Ryan", "Serena", "Vivian", "Aiden", "Uncle_fu")
Distort = Callable[[Samples], Samples]


def coded(container: str, codec: str, kbit: int) -> Distort:
    """Return a round through a codec at a bit rate."""

    def run(samples: Samples) -> Samples:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
            stream.bit_rate = 1000 * kbit
            frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
            frame.sample_rate = SAMPLE_RATE
            resampler = av.AudioResampler(stream.format, "mono", stream.rate, stream.frame_size)
            for part in [*resampler.resample(frame), *resampler.resample(None), None]:
                out.mux(stream.encode(part))
        return heard(file.getvalue())

    return run


def written(suffix: str) -> Distort:
    """Return a round through a file as this package writes it."""
    return lambda samples: heard(encode(samples, SAMPLE_RATE, suffix))


def heard(data: bytes) -> Samples:
    """Decode a file to the usual rate."""
    samples, rate = decode(data)
    return resampled(samples, rate, SAMPLE_RATE)


def resampled(samples: Samples, old: float, new: float) -> Samples:
    """Return the samples at another rate."""
    return np.asarray(soxr.resample(samples, old, new), np.float32)


def over(rate: int) -> Distort:
    """Return a round through another sample rate."""
    return lambda samples: resampled(resampled(samples, SAMPLE_RATE, rate), rate, SAMPLE_RATE)


def rounded(bits: int) -> Distort:
    """Return rounding to a number of bits."""
    steps = 2 ** (bits - 1)
    return lambda samples: (np.round(samples * steps) / steps).astype(np.float32)


def mixed(decibel: float, other: Callable[[int], Samples]) -> Distort:
    """Return mixing with a sound that is softer by ``decibel``."""

    def run(samples: Samples) -> Samples:
        sound = other(len(samples))
        gain = np.sqrt(np.mean(samples**2) / np.mean(sound**2)) * 10 ** (-decibel / 20)
        return np.clip(samples + gain * sound, -1, 1).astype(np.float32)

    return run


def noise(count: int) -> Samples:
    """Return white noise."""
    return np.random.default_rng(7).standard_normal(count).astype(np.float32)


def music(count: int) -> Samples:
    """Return something like music: chords with overtones, and a beat of noise."""
    times = np.arange(count) / SAMPLE_RATE
    chords = ((220, 277, 330), (196, 247, 294), (175, 220, 262), (165, 208, 247))
    which = (times * 2).astype(int) % len(chords)
    sound = np.zeros(count)
    for index, chord in enumerate(chords):
        tones = sum(np.sin(2 * np.pi * f * k * times) / k for f in chord for k in range(1, 6))
        sound += np.where(which == index, tones, 0)
    return (sound + 2 * noise(count) * np.exp(-20 * (times % 0.5))).astype(np.float32)


def echoing(samples: Samples) -> Samples:
    """Return the samples in a room with 0.4 s of reverberation."""
    times = np.arange(int(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    room = 0.1 * noise(len(times)) * np.exp(-6.9 * times / 0.4)
    room[0] = 1
    return np.convolve(samples, room)[: len(samples)].astype(np.float32)


def cut(seconds: float) -> Distort:
    """Return a part from the middle."""
    count = int(seconds * SAMPLE_RATE)
    return lambda samples: samples[(start := max(0, (len(samples) - count) // 2)) : start + count]


def band(low: float, high: float) -> Distort:
    """Return a filter that keeps the frequencies between two, in Hz."""

    def run(samples: Samples) -> Samples:
        spectrum = np.fft.rfft(samples)
        frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
        kept = np.where((frequencies >= low) & (frequencies <= high), spectrum, 0)
        return np.fft.irfft(kept, len(samples)).astype(np.float32)

    return run


def gained(decibel: float) -> Distort:
    """Return another volume; what goes over full scale is clipped."""
    return lambda samples: np.clip(samples * 10 ** (decibel / 20), -1, 1).astype(np.float32)


def after(*steps: Distort) -> Distort:
    """Return distortions one after the other."""

    def run(samples: Samples) -> Samples:
        for step in steps:
            samples = step(samples)
        return samples

    return run


def shifted(semitones: float) -> Distort:
    """Return another pitch at the same speed."""
    return lambda samples: pitched(samples, SAMPLE_RATE, semitones)


def paced(speed: float) -> Distort:
    """Return another speed at the same pitch."""
    return lambda samples: stretched(samples, SAMPLE_RATE, speed)


def faster(speed: float) -> Distort:
    """Return another speed, as of a tape: the pitch changes, too."""
    return lambda samples: resampled(samples, SAMPLE_RATE * speed, SAMPLE_RATE)


DISTORTIONS: dict[str, Distort] = {
    "none": lambda samples: samples,
    **{f"mp3, {kbit} kbit/s": coded("mp3", "libmp3lame", kbit) for kbit in (32, 64, 128)},
    **{f"opus, {kbit} kbit/s": coded("ogg", "libopus", kbit) for kbit in (8, 16, 24, 48)},
    **{
        f"{suffix} as written here": written(suffix) for suffix in (".ogg", ".opus", ".mp3", ".m4a")
    },
    **{f"aac, {kbit} kbit/s": coded("ipod", "aac", kbit) for kbit in (24, 64)},
    "mp3 64, then opus 24": after(coded("mp3", "libmp3lame", 64), coded("ogg", "libopus", 24)),
    "opus 16, then mp3 32": after(coded("ogg", "libopus", 16), coded("mp3", "libmp3lame", 32)),
    "8 kHz": over(8_000),
    "16 kHz": over(16_000),
    "telephone, 300 to 3400 Hz": band(300, 3400),
    "only below 1 kHz": band(0, 1000),
    "16 bits": rounded(16),
    "8 bits": rounded(8),
    **{f"noise, {db} dB": mixed(db, noise) for db in (30, 20, 10, 0)},
    **{f"music-like, {db} dB": mixed(db, music) for db in (20, 10, 0)},
    "reverberation, 0.4 s": echoing,
    **{f"{seconds} s of it": cut(seconds) for seconds in (3, 1, 0.5, 0.2)},
    "the first 0.123 s missing": lambda samples: samples[int(0.123 * SAMPLE_RATE) :],
    "12 dB louder, clipped": gained(12),
    "12 dB softer": gained(-12),
    **{f"speed × {speed}, same pitch": paced(speed) for speed in (0.9, 0.95, 1.05, 1.1, 1.5)},
    **{f"pitch {shift:+} semitone": shifted(shift) for shift in (0.2, 0.5, 1, -1)},
    "tape speed × 1.01": faster(1.01),
    "tape speed × 1.05": faster(1.05),
    "backwards": lambda samples: np.ascontiguousarray(samples[::-1]),
}


def lines() -> Iterator[tuple[str, str, str]]:
    """Yield different lines, endlessly: text, language, speaker."""
    each = itertools.product(range(1, 10_000), LINES.items())
    for (number, (language, text)), speaker in zip(each, itertools.cycle(SPEAKERS), strict=False):
        yield text.format(number), language, speaker


async def spoken(count: int) -> list[Samples]:
    """Return lines of the draft backend."""
    async with open_tts(QwenTTSConfig(backend="draft")) as tts:
        return [
            (await tts.say(text, language=language, speaker=speaker)).samples
            for text, language, speaker in itertools.islice(lines(), count)
        ]


def others(line: Samples) -> dict[str, Samples]:
    """Return unmarked sounds that are hard for a detector."""
    count = 5 * SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1000 * np.arange(count) / SAMPLE_RATE)
    chord = music(SAMPLE_RATE // 2)[SAMPLE_RATE // 10 :]
    return {
        "white noise": 0.1 * noise(count),
        "tone of 1 kHz": (0.5 * tone).astype(np.float32),
        "chord": (0.1 * np.tile(chord, 10)).astype(np.float32),
        "music-like": 0.05 * music(count),
        "silence": np.zeros(count, np.float32),
        "speech, only below 2 kHz": band(0, 2000)(line),
        "speech, only below 1 kHz": band(0, 1000)(line),
        "speech, only below 500 Hz": band(0, 500)(line),
        "speech, telephone": band(300, 3400)(line),
        "speech, only above 500 Hz": band(500, 12_000)(line),
        "speech, only above 1 kHz": band(1000, 12_000)(line),
    }


def recordings(folder: Path) -> Iterator[tuple[Samples, int]]:
    """Yield the first 30 s of the recordings in a folder, and their rates."""
    for path in sorted(folder.glob("*.*")):
        samples, rate = decode(path.read_bytes())
        yield samples[: 30 * rate], rate


def signal_to_mark(plain: Samples, marked: Samples) -> float:
    """Return by how many dB the speech is louder than the mark."""
    return float(10 * np.log10(np.sum(plain**2) / np.sum((marked - plain) ** 2)))


def share(scores: list[WatermarkScore]) -> float:
    """Return the share of scores that say that there is a mark."""
    return sum(score.found for score in scores) / len(scores)


def table(title: str, columns: tuple[str, ...], rows: dict[str, list[WatermarkScore]]) -> None:
    """Print the share found, and the scores' range, of each row."""
    made = Table(*columns, "found", "lowest score", "highest score", title=title)
    for name, scores in rows.items():
        values = sorted(one.score for one in scores)
        extremes = (f"{value:.3f}" for value in (values[0], values[-1]))
        made.add_row(name, f"{share(scores):.0%} of {len(scores)}", *extremes)
    Console().print(made)


def survived(watermark: PerthWatermark, plain: list[Samples]) -> dict[str, float]:
    """Mark and distort lines, print the table, and return the shares found and the costs."""
    began = time.perf_counter()
    marked = [watermark.embed(line, SAMPLE_RATE) for line in plain]
    took, seconds = time.perf_counter() - began, sum(map(len, plain)) / SAMPLE_RATE
    rows = {
        name: [watermark.detect(distort(line), SAMPLE_RATE) for line in marked]
        for name, distort in DISTORTIONS.items()
    }
    table(f"{len(plain)} marked lines", ("distortion",), rows)
    ratios = [signal_to_mark(*pair) for pair in zip(plain, marked, strict=True)]
    began = time.perf_counter()
    for line in plain:
        watermark.detect(line, SAMPLE_RATE)
    return {
        "signal_to_mark_db": round(statistics.median(ratios), 2),
        "signal_to_mark_lowest_db": round(min(ratios), 2),
        "embed_s_per_s": round(took / seconds, 4),
        "detect_s_per_s": round((time.perf_counter() - began) / seconds, 4),
        "found_share": share(rows["none"]),
        "kinds_survived": sum(share(scores) == 1 for scores in rows.values()),
        "kinds": len(rows),
        "mp3_share": share(rows["mp3, 64 kbit/s"]),
    }


def false_alarms(watermark: PerthWatermark, lines: list[Samples]) -> dict[str, float]:
    """Search for marks where there are none, print the table, and return the shares found."""
    scores = [watermark.detect(line, SAMPLE_RATE) for line in lines]
    hard = {
        name: [watermark.detect(sound, SAMPLE_RATE)] for name, sound in others(lines[0]).items()
    }
    table("Unmarked", ("sound",), {f"{len(lines)} lines of espeak": scores, **hard})
    return {"unmarked": len(scores), "false_alarms": sum(score.found for score in scores)}


def measured_recordings(watermark: PerthWatermark, folder: Path) -> dict[str, float]:
    """Measure recordings unmarked and marked, print the table, and return the shares found."""
    plain, marked = list[WatermarkScore](), list[WatermarkScore]()
    for samples, rate in recordings(folder):
        plain.append(watermark.detect(samples, rate))
        marked.append(watermark.detect(watermark.embed(samples, rate), rate))
    table(f"Recordings in {folder}", ("recordings",), {"unmarked": plain, "marked": marked})
    return {"recordings_false_share": share(plain), "recordings_found_share": share(marked)}


def main() -> int:
    """Measure and report; the exit status is 0 if the goal was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    parser.add_argument("--rounds", type=int, default=12, help="marked lines")
    parser.add_argument("--unmarked", type=int, default=200, help="unmarked lines")
    parser.add_argument("--recordings", type=Path, help="folder of sound files to measure, too")
    asked = parser.parse_args()
    watermark = PerthWatermark()
    began = time.perf_counter()
    watermark.stream(SAMPLE_RATE)
    figures: dict[str, float] = {"load_s": round(time.perf_counter() - began, 3)}
    lines = asyncio.run(spoken(max(asked.rounds, asked.unmarked)))
    figures |= survived(watermark, lines[: asked.rounds])
    figures |= false_alarms(watermark, lines[: asked.unmarked])
    if asked.recordings:
        figures |= measured_recordings(watermark, asked.recordings)
    if asked.json:
        print(json.dumps(figures))
    return 0 if figures["mp3_share"] == 1 and not figures["false_alarms"] else 1


if __name__ == "__main__":
    sys.exit(main())
