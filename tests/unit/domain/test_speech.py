"""What comes back, and how it is saved."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.files import decode


@pytest.fixture
def speech(tone):
    return Speech(tone(1.5), 24_000, backend="test", model="m")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".opus"])
def test_a_file_holds_the_speech_in_the_format_of_its_suffix(suffix, speech, tmp_path):
    saved = speech.save(tmp_path / "new" / "folder" / f"line{suffix.upper()}")
    assert saved == tmp_path / "new" / "folder" / f"line{suffix.upper()}"
    assert soundfile.info(io.BytesIO(saved.read_bytes())).format == (
        suffix[1:].upper().replace("OPUS", "OGG")
    )
    samples, rate = decode(saved.read_bytes())
    assert len(samples) / rate == pytest.approx(1.5, abs=0.06)
    assert np.abs(samples).max() > 0.4


def test_aac_and_pcm_are_saved_too_over_older_files_and_to_relative_paths(
    speech, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.aac").write_text("old")
    assert speech.save("line.aac") == tmp_path / "line.aac"
    assert (tmp_path / "line.aac").read_bytes()[:3] == b"ID3"
    assert len(speech.save(tmp_path / "line.pcm").read_bytes()) == 72_000


def test_aac_without_its_extra_is_refused_before_anything_is_made(speech, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InvalidRequest, match=r"storycore-tts\[media\]"):
        speech.save(tmp_path / "new" / "line.aac")
    assert not (tmp_path / "new").exists()


def test_it_knows_its_length_and_is_equal_to_itself_only(speech, tone):
    assert speech.duration == 1.5
    assert speech == speech
    assert speech != Speech(tone(1.5), 24_000, backend="test", model="m")
    assert len({speech, speech}) == 1
    assert speech.encode()[:4] == b"RIFF"


def test_another_pace_and_another_pitch_keep_everything_else(speech):
    slower, higher = speech.stretched(0.5), speech.pitched(3)
    assert (slower.duration, higher.duration) == (3.0, 1.5)
    assert slower.backend == higher.backend == "test"
    assert speech.duration == 1.5


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_disk_that_is_full_leaves_no_half_of_a_file(speech, tmp_path):
    import resource

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        with pytest.raises(OSError, match=r"line\.wav"):
            speech.save(tmp_path / "line.wav")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_that_takes_nothing_stays_on_original_server(speech, tmp_path):
    device = tmp_path / "device.wav"
    device.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"device\.wav"):
        speech.save(device)
    assert device.is_symlink()
