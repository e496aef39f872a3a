"""The example speaks its scene, as a draft and by ComfyUI, and its cue sheet is right."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts.sound.samples import SILENCE_PEAK

from .forks import Forks

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "scratch_track"
CAST = {"MARA": "Serena", "IDRIS": "Ryan", "PELL": "Uncle_fu"}


def speak(forks: Forks, backend: str, folder: Path, url: str):
    program = (str(EXAMPLE / "scratch_track.py"), str(EXAMPLE / f"{backend}.yaml"), "track.wav")
    said = forks.run(*program, folder=folder, STORYCORE_TTS_COMFYUI_URL=url)
    samples, rate = soundfile.read(folder / "track.wav", dtype="float32")
    with (folder / "track.csv").open(encoding="utf-8", newline="") as file:
        return samples, rate, list(csv.DictReader(file)), said


@pytest.mark.parametrize("backend", ["draft", "comfyui"])
def test_it_speaks_the_scene(forks: Forks, standin_comfyui, tmp_path: Path, backend: str):
    samples, rate, cues, said = speak(forks, backend, tmp_path, standin_comfyui.url)
    assert said.count(f"({backend})") == len(cues)  # the settings alone decide who speaks
    shortest, longest = (100, 140) if backend == "draft" else (30, 140)  # the stand-in is fast
    assert shortest <= len(samples) / rate <= longest
    each_line_has_its_cue_in_order(cues)
    voices_are_heard_within_cues_and_only_there(samples, rate, cues)


def each_line_has_its_cue_in_order(cues):
    scene = (EXAMPLE / "screenplay.txt").read_text(encoding="utf-8")
    spoken = [row for row in scene.splitlines() if row.startswith(tuple(CAST))]
    assert [row.split(": ", 1)[1] for row in spoken] == [cue["text"] for cue in cues]
    assert all(CAST[cue["speaker"]] == cue["voice"] for cue in cues)
    times = [float(cue[edge]) for cue in cues for edge in ("start", "end")]
    assert times == sorted(times)


def voices_are_heard_within_cues_and_only_there(samples, rate, cues):
    quiet_from = 0
    for cue in cues:
        start, end = (round(float(cue[edge]) * rate) for edge in ("start", "end"))
        margin = rate // 100  # the sheet counts milliseconds
        between = samples[quiet_from : start - margin]
        assert len(between) > 0.3 * rate
        assert np.abs(between).max() < 1e-4, cue
        line = samples[start:end]
        assert np.abs(line).max() > 10 * SILENCE_PEAK, cue
        # Audible at both ends, and not for half of the line only.
        assert np.abs(line[: rate // 20]).max() > SILENCE_PEAK / 2
        assert np.abs(line[-rate // 20 :]).max() > SILENCE_PEAK / 2
        pieces = line[: len(line) // 2400 * 2400].reshape(-1, 2400)
        assert (np.abs(pieces).max(axis=1) > SILENCE_PEAK).mean() > 0.6, cue
        quiet_from = end + margin
    assert np.abs(samples[quiet_from:]).max() < 1e-4
