"""The example speaks its scene, as a draft and by ComfyUI, and its cue sheet is right."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts.domain.audio import SILENCE_PEAK
from storycore_tts.testing.comfyui import StandInComfyUI

from .forks import Forks

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "scratch_track"
CAST = {"MARA": "Serena", "IDRIS": "Ryan", "PELL": "Uncle_fu"}


@pytest.fixture(scope="module")
def tracks(forks: Forks, tmp_path_factory):
    """Return the track that each of the two settings makes."""
    with StandInComfyUI(instant=True) as server:
        return {
            backend: speak(forks, backend, tmp_path_factory.mktemp(backend), server.url)
            for backend in ("draft", "comfyui")
        }


def speak(forks: Forks, backend: str, folder: Path, url: str):
    program = (str(EXAMPLE / "scratch_track.py"), str(EXAMPLE / f"{backend}.yaml"), "track.wav")
    said = forks.run(*program, folder=folder, STORYCORE_TTS_COMFYUI_URL=url)
    samples, rate = soundfile.read(folder / "track.wav", dtype="float32")
    with (folder / "track.csv").open(encoding="utf-8", newline="") as file:
        return samples, rate, list(csv.DictReader(file)), said


BACKENDS = pytest.mark.parametrize("backend", ["draft", "comfyui"])


def test_a_draft_is_about_two_minutes_long(tracks):
    samples, rate, _, _ = tracks["draft"]
    assert 100 <= len(samples) / rate <= 140


@BACKENDS
def test_the_settings_alone_decide_who_speaks(tracks, backend):
    samples, rate, cues, said = tracks[backend]
    assert len(samples) / rate > 30  # the stand-in speaks fast
    assert said.count(f"({backend})") == len(cues)


@BACKENDS
def test_each_line_has_its_cue_in_order(tracks, backend):
    _, _, cues, _ = tracks[backend]
    scene = (EXAMPLE / "screenplay.txt").read_text(encoding="utf-8")
    spoken = [row for row in scene.splitlines() if row.startswith(tuple(CAST))]
    assert [row.split(": ", 1)[1] for row in spoken] == [cue["text"] for cue in cues]
    assert all(CAST[cue["speaker"]] == cue["voice"] for cue in cues)
    times = [float(cue[edge]) for cue in cues for edge in ("start", "end")]
    assert times == sorted(times)


@BACKENDS
def test_voices_are_heard_within_cues_and_only_there(tracks, backend):
    samples, rate, cues, _ = tracks[backend]
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
