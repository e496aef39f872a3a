"""Where audio goes on this machine."""

import os
import tempfile

import numpy as np
import pytest

from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest, StorageFailed
from storycore_tts.services.output import AudioFolder
from storycore_tts.services.voicing import VoicedRequest
from storycore_tts.sound.files import decode


@pytest.fixture
def folder(tmp_path):
    return AudioFolder(tmp_path / "out")


def test_a_wanted_path_is_made_absolute_and_its_folder_made(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.wav").write_text("old")
    for name in ("line.wav", "new/folder/line.MP3", "line.flac", "ü 好.ogg", "old.wav"):
        for wanted in (name, tmp_path / name, str(tmp_path / name)):
            target = folder.reserve(wanted, stem="voice")
            assert target == tmp_path / name
            assert target.parent.is_dir()
            assert target.exists() == (name == "old.wav")
    assert (tmp_path / "old.wav").read_text() == "old"  # until the audio is there


def test_without_a_wish_each_name_is_new_and_a_wav_in_the_folder(folder, tmp_path):
    targets = {folder.reserve(None, stem="voice") for _ in range(20)}
    assert len(targets) == 20
    for target in targets:
        assert target.parent == tmp_path / "out"
        assert target.name.startswith("voice-")
        assert target.suffix == ".wav"


def test_without_a_folder_one_is_made_when_it_is_first_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = AudioFolder(None)
    assert list(tmp_path.iterdir()) == []
    first, second = (folder.reserve(None, stem="voice") for _ in range(2))
    assert first.parent == second.parent
    assert first.parent.name.startswith("storycore-tts-")
    assert first.parent.parent == tmp_path


@pytest.mark.parametrize("name", ["line", "line.webm", "", ".wav", "line.wav/"])
def test_another_suffix_is_refused_before_anything_is_made(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = f"new/{name}" if name != "line.wav/" else "new/line.wav/x"
    with pytest.raises(InvalidRequest, match="unknown suffix"):
        folder.reserve(wanted, stem="voice")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\x00b.wav", "Cannot write to"),
        ("a\x00b/line.wav", "Cannot write to"),
        ("\ud800.wav", "Cannot write to"),
        ("x" * 300 + ".wav", "Cannot write to"),
        ("x" * 300 + "/line.wav", "Cannot write to"),
        ("file/line.wav", "Cannot write to"),
        ("folder.wav", "it is a folder"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name, said, folder, tmp_path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match=said):
        folder.reserve(f"{tmp_path}/{name}", stem="voice")


@pytest.mark.parametrize("there", [True, False])
def test_a_place_without_permission_is_refused(there, folder, tmp_path, monkeypatch):
    target = tmp_path / "line.wav"
    if there:
        target.write_text("old")
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))
    with pytest.raises(InvalidRequest, match="no permission"):
        folder.reserve(target, stem="voice")
    assert asked == [(target if there else tmp_path, os.W_OK)]


async def test_audio_is_written_to_the_reserved_path(folder):
    samples = np.linspace(-0.5, 0.5, 2400, dtype=np.float32)
    target = folder.reserve(None, stem="voice")
    written = await folder.write(Speech(samples, 24_000, backend="b", model="m"), target)
    assert written == target
    assert np.allclose(decode(target.read_bytes())[0], samples, atol=1e-4)


async def test_a_place_that_is_lost_while_a_line_is_spoken_is_a_typed_error(folder, tmp_path):
    target = tmp_path / "line.wav"

    class Speaking:
        async def speak(self, request, *, on_progress=None):
            target.mkdir()
            return Speech(np.full(2400, 0.5, np.float32), 24_000, backend="b", model="m")

    with pytest.raises(StorageFailed, match="Cannot write to"):
        await folder.speak(
            Speaking(), VoicedRequest(SpeechRequest("Hello.", "Ryan"), ""), target, stem="voice"
        )
