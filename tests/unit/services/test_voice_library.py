"""Voices on a disk: complete or absent, whatever happens, and never outside their folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PureWindowsPath

import numpy as np
import platformdirs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice, voice_name
from storycore_tts.errors import InvalidRequest, StorageFailed, UnknownSpeaker
from storycore_tts.services.voices import VoiceEntry, VoiceLibrary

NOISE = np.random.default_rng(7).uniform(-1, 1, 24_000).astype(np.float32)

# Letters, marks and digits of all scripts, and what joins them.
NAMES = st.text(
    st.characters(categories=("L", "M", "Nd"), include_characters=" ._-"), min_size=1, max_size=70
)


def clone(name="Mia", transcript="Hello there.", samples=NOISE, rate=24_000, **given):
    reference = ReferenceAudio(samples, rate, transcript)
    return StoredVoice(name, consent="Mia, 2025-03-02", reference=reference, **given)


def checkpoint(name="Tom", **given):
    return StoredVoice(name, **{"checkpoint": "D:\\models\\tom", "speaker": "tom_v2", **given})


def facts(voice):
    """All of a voice, in a form that compares."""
    known = {k: v for k, v in vars(voice).items() if k != "reference"}
    if voice.reference is not None:
        known["transcript"] = voice.reference.transcript
        known["rate"] = voice.reference.sample_rate
        known["samples"] = voice.reference.samples.tobytes()
    return known


@pytest.fixture
def library(tmp_path):
    return VoiceLibrary(tmp_path / "deep" / "voices")


@pytest.fixture
def folder_of(library):
    """The folder of the only voice."""

    def find():
        (folder,) = library.folder.iterdir()
        return folder

    return find


@pytest.mark.parametrize(
    "voice",
    [
        clone(),
        clone("Zoë", transcript=None, language="fr"),
        clone("贞贞", transcript="你好，\n世界。", rate=48_000),
        clone("loud", samples=NOISE * 1.9),
        clone("quiet", samples=NOISE * np.float32(0.01)),
        checkpoint(),
        checkpoint("all", model_choice="0.6B", language="ja", instruct="Slowly.", consent="Tom"),
    ],
    ids=lambda voice: voice.name,
)
def test_what_is_stored_is_what_is_found(library, voice):
    library.add(voice)
    assert facts(VoiceLibrary(str(library.folder)).get(voice.name)) == facts(voice)
    assert facts(library.get(f"  {voice.name.upper()} ")) == facts(voice)
    assert library.names() == [voice.name]
    facts_of = (voice.name, voice.kind, voice.language, voice.created)
    assert library.entries() == [VoiceEntry(*facts_of, consent=voice.consent_record)]


def test_the_folder_is_the_users_own_or_meant_where_it_was_named(tmp_path, monkeypatch):
    usual = platformdirs.user_data_path("storycore-tts", appauthor=False) / "voices"
    assert VoiceLibrary().folder == usual
    monkeypatch.chdir(tmp_path)
    library = VoiceLibrary("voices")
    monkeypatch.chdir("/")
    library.add(clone())
    assert (tmp_path / "voices").is_dir()


def test_looking_makes_no_folder(library):
    assert library.names() == library.entries() == []
    assert library.find("Mia") is None
    with pytest.raises(UnknownSpeaker, match="'Mia'") as caught:
        library.remove("Mia")
    assert "No voice is stored yet." in caught.value.hint
    assert not library.folder.parent.exists()


def test_a_name_is_taken_in_any_case_until_its_voice_is_removed(library):
    library.add(clone("Mia"))
    for name in ("Mia", " mIA "):
        with pytest.raises(InvalidRequest, match="already a stored voice"):
            library.add(checkpoint(name))
    assert library.get("Mia").kind == "clone"
    library.remove("mia")
    assert list(library.folder.iterdir()) == []
    library.add(checkpoint("Mia"))
    assert library.get("Mia").kind == "checkpoint"


def test_an_unknown_or_impossible_name_lists_those_there_are(library):
    library.add(clone())
    library.add(checkpoint())
    (library.folder / "notes.txt").write_text("Mine.")  # what is no voice is not looked at
    (library.folder / ".DS_Store").mkdir()
    with pytest.raises(UnknownSpeaker, match="Did you mean 'Mia'") as caught:
        library.get("Mai")
    assert "Stored voices: Mia, Tom. See storycore-tts voices list" in caught.value.hint
    for name in ("", "../Mia", "..", "a/b", "\x00", "\ud800", "Ryan", None, 5):
        assert library.find(name) is None
        for call in (library.get, library.remove):
            with pytest.raises(UnknownSpeaker):
                call(name)
    assert [entry.name for entry in library.entries()] == library.names() == ["Mia", "Tom"]


def portable(folder):
    assert folder == folder.lower()
    assert len(folder) <= 64
    assert set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert PureWindowsPath(folder).name == folder
    assert not folder.startswith("-")
    ports = {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
    assert folder.partition(".")[0] not in {"con", "prn", "aux", "nul", *ports}


@given(NAMES, st.text(max_size=200))
@settings(deadline=None, max_examples=30)
@example("CON", "")
@example("nul", "")
@example("COM1", "")
@example("LPT9", "")
@example("con.txt", "")
@example("a..", "")
@example("-rf", "")
@example(".a", "")
def test_every_name_and_transcript_round_trips_in_a_folder_that_any_system_takes(name, transcript):
    try:
        voice = clone(voice_name(name), transcript)
    except InvalidRequest:
        return
    with tempfile.TemporaryDirectory() as root:
        library = VoiceLibrary(Path(root) / "voices")
        library.add(voice)
        assert facts(library.get(f" {name}\n")) == facts(VoiceLibrary(library.folder).get(name))
        assert facts(library.get(name)) == facts(voice)
        assert library.names() == [voice.name]
        assert [path.name for path in Path(root).iterdir()] == ["voices"]
        (folder,) = library.folder.iterdir()
        portable(folder.name)
        library.remove(name)
        assert library.names() == []


def test_names_that_look_alike_as_folders_do_not_meet(library):
    long = ["x" * 63 + end for end in "yz"]
    names = ["a b", "a.b", "a-b", "ab", "Mia", "ä b", "贞贞", "真真", *long]
    for name in reversed(names):
        library.add(checkpoint(name, speaker=name))
    in_order = [name for name in library.names() if name in ("ab", "Mia", "ä b")]
    assert in_order == ["ab", "Mia", "ä b"]  # whatever their case
    assert {library.get(name).speaker for name in names} == set(names)


def document(data):
    return lambda folder: (folder / "voice.json").write_bytes(data)


def changed(**changes):
    def edit(folder):
        path = folder / "voice.json"
        facts = {**json.loads(path.read_text("utf-8")), **changes}
        path.write_text(json.dumps({k: v for k, v in facts.items() if v != "gone"}), "utf-8")

    return edit


def another_recording(folder):
    path = folder / "reference.wav"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")


def no_file_but_a_folder(folder):
    (folder / "voice.json").unlink()
    (folder / "voice.json").mkdir()


DAMAGE = {
    "no document": lambda folder: (folder / "voice.json").unlink(),
    "a folder for a document": no_file_but_a_folder,
    "a list": document(b"[]"),
    "no UTF-8": document(b'"\xff"'),
    "deep nesting": document(b"[" * 200_000),
    "another format": changed(format=3),
    "another kind": changed(kind="design"),
    "another name": changed(name="Max"),
    "an impossible name": changed(name="../Mia"),
    "no name": changed(name="gone"),
    "no consent": changed(consent=None),
    "half a consent": changed(consent={"text": "Mia"}),
    "an unknown language": changed(language="tlh"),
    "no time zone": changed(created="2025-01-01T00:00:00"),
    "no time": changed(created=5),
    "no transcript": changed(transcript="gone"),
    "a transcript of numbers": changed(transcript=5),
    "no recording": lambda folder: (folder / "reference.wav").unlink(),
    "another recording": another_recording,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_voice_says_so_and_hides_no_other(library, folder_of, damage):
    library.add(clone())
    damaged = folder_of()
    damage(damaged)
    library.add(checkpoint())
    with pytest.raises(StorageFailed, match=r"'Mia'") as caught:
        library.get("Mia")
    assert str(library.folder) in str(caught.value)
    entries = library.entries()
    assert [entry.name for entry in entries if not entry.problem] == ["Tom"]
    (problem,) = [entry for entry in entries if entry.problem]
    assert problem.name in ("Mia", "Max", damaged.name) or "not a valid name" in problem.problem
    assert problem.kind is None
    assert library.names() == ["Tom"]
    with pytest.raises(InvalidRequest, match="already a stored voice"):
        library.add(clone())
    library.remove(problem.name if problem.name == damaged.name else "Mia")
    assert [entry.name for entry in library.entries()] == ["Tom"]


@given(st.data())
@settings(deadline=None, max_examples=30)
def test_a_file_cut_anywhere_is_noticed(data):
    with tempfile.TemporaryDirectory() as root:
        library = VoiceLibrary(root)
        library.add(clone())
        (folder,) = library.folder.iterdir()
        path = folder / data.draw(st.sampled_from(["voice.json", "reference.wav"]))
        whole = path.read_bytes()
        # The last byte of the document is the end of its line, which nobody misses.
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 2))])
        with pytest.raises(StorageFailed, match="'Mia' is damaged"):
            library.get("Mia")


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "voices").write_text("A file.")
    for library in (VoiceLibrary(tmp_path / "voices"), VoiceLibrary(tmp_path / "voices" / "in")):
        for call in (
            lambda: library.add(clone()),  # noqa: B023
            lambda: library.get("Mia"),  # noqa: B023
            lambda: library.remove("Mia"),  # noqa: B023
            library.entries,
        ):
            with pytest.raises(StorageFailed, match=r"Cannot .* in .*voices") as caught:
                call()
            assert "tts.qwen.voices_dir" in caught.value.hint
    assert (tmp_path / "voices").read_text() == "A file."
    with pytest.raises(StorageFailed, match="Cannot store the voice 'Mia'"):
        VoiceLibrary("a\0b").add(clone())


def run(code, *arguments):
    """Run code in another process, with this process's imports."""
    program = "import sys\nfrom pathlib import Path\n" + code
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_rename_that_somebody_else_won_is_a_name_that_is_taken(library, monkeypatch):
    rename = Path.rename

    def late(draft, place):
        monkeypatch.undo()
        VoiceLibrary(library.folder).add(checkpoint("mia"))
        return rename(draft, place)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(InvalidRequest, match="already a stored voice 'Mia'"):
        library.add(clone())
    assert library.get("Mia").kind == "checkpoint"
    assert len(list(library.folder.iterdir())) == 1


KILLED = """
import os
import signal
from storycore_tts import StoredVoice, VoiceLibrary
Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
VoiceLibrary(sys.argv[1]).add(StoredVoice("Mia", checkpoint="/models/mia"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_crash_before_the_rename_leaves_no_half_voice(library):
    killed = run(KILLED, library.folder)
    assert killed.returncode == -9
    (leftover,) = library.folder.iterdir()
    assert sorted(path.name for path in leftover.iterdir()) == ["voice.json"]
    assert library.names() == library.entries() == []
    assert library.find("Mia") is None
    library.add(clone())
    assert leftover.exists()  # its owner may still be at work
    yesterday = time.time() - 2 * 86_400
    os.utime(leftover, (yesterday, yesterday))
    library.add(checkpoint())
    assert not leftover.exists()
    assert library.names() == ["Mia", "Tom"]


FULL = """
import resource
import numpy
from storycore_tts import ReferenceAudio, StorageFailed, StoredVoice, VoiceLibrary
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
voice = StoredVoice("Mia", "Mia", ReferenceAudio(numpy.ones(24_000, numpy.float32)))
try:
    VoiceLibrary(sys.argv[1]).add(voice)
except StorageFailed as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits for processes")
def test_a_disk_that_is_full_in_the_middle_leaves_nothing(library):
    ended = run(FULL, library.folder)
    assert ended.stdout.startswith("Cannot store the voice 'Mia' in "), ended.stderr
    assert list(library.folder.iterdir()) == []


READ_ONLY = """
import os
from storycore_tts import StorageFailed, StoredVoice, TTSError, VoiceLibrary
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
library = VoiceLibrary(sys.argv[1])
print(library.get("Tom").speaker)
for call in (
    lambda: library.add(StoredVoice("Mia", checkpoint="/models/mia")),
    lambda: library.remove("Tom"),
):
    try:
        call()
    except StorageFailed as error:
        print(error.message)
print(library.names())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_folder_that_is_read_only_can_be_read_and_says_so():
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        library = VoiceLibrary(Path(root) / "voices")
        library.add(checkpoint())
        library.folder.chmod(0o555)
        ended = run(READ_ONLY, library.folder)
        library.folder.chmod(0o755)
    assert ended.stdout.splitlines() == [
        "tom_v2",
        f"Cannot store the voice 'Mia' in {library.folder}: Permission denied.",
        f"Cannot remove the voice 'Tom' in {library.folder}: Permission denied.",
        "['Tom']",
    ], ended.stderr


def test_a_voice_that_is_removed_while_it_is_read_is_unknown(library, folder_of, monkeypatch):
    library.add(clone())
    read = Path.read_bytes

    def slow(path):
        shutil.rmtree(path.parent)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", slow)
    with pytest.raises(UnknownSpeaker):
        library.get("Mia")
