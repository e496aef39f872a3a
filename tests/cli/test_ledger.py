"""``storycore-tts ledger``: what was made, and whether the record of it still holds."""

import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
import soundfile
import yaml

from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.services.voices import VoiceLibrary

pytest.importorskip("espeakng_loader")


@pytest.fixture
def made(cli):
    """Two files and the ledger of them."""
    block = {
        "backend": "draft",
        "voices_dir": "voices",
        "ledger": {"enabled": True, "path": "ledger.jsonl"},
    }
    Path("storycore-tts.yaml").write_text(yaml.safe_dump({"tts": {"qwen": block}}))
    for name, words, voice in (("a.wav", "One.", "Ryan"), ("b.mp3", "Two.", "Serena")):
        assert cli("say", words, "--speaker", voice, "--out", name).status == 0


def test_nothing_is_recorded_unless_the_settings_say_so(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    assert cli("say", "One.", "--backend", "draft", "--out", "a.wav").status == 0
    assert not list((tmp_path / "user").rglob("*ledger*"))
    answer = cli("ledger", "verify")
    assert (answer.status, answer.out.strip().endswith("there is none yet")) == (1, True)
    answer = cli("ledger", "list")
    assert (answer.status, answer.out, "The ledger is off" in answer.err) == (0, "", True)


@pytest.mark.usefixtures("made")
def test_the_files_are_listed_with_their_hashes(cli):
    rows = [line.split("\t") for line in cli("ledger", "list").out.splitlines()]
    assert [row[1:3] + row[4:] for row in rows] == [
        ["Ryan", "draft", "wav", sha256(Path("a.wav").read_bytes()).hexdigest()],
        ["Serena", "draft", "mp3", sha256(Path("b.mp3").read_bytes()).hexdigest()],
    ]


@pytest.mark.usefixtures("made")
def test_files_are_found_by_voice_time_hash_and_text(cli):
    def listed(*how):
        return [facts["format"] for facts in cli("ledger", "list", *how, "--json").json]

    assert listed() == ["wav", "mp3"]
    assert listed("--voice", "serena") == ["mp3"]
    how = ("--disclose", "--disclose-voice", "Vivian")
    assert cli("say", "Three.", "--speaker", "Ryan", "--out", "c.flac", *how).status == 0
    assert listed("--voice", "vivian") == ["flac"]  # the voice of its notice
    assert listed("--since", "2000-01-01") == ["wav", "mp3", "flac"]
    assert listed("--since", "2999-01-01T10:00+02:00") == []
    assert listed("--text", "One.") == ["wav"]
    shutil.copy("a.wav", "moved.wav")
    assert listed("--file", "moved.wav") == ["wav"]
    for wrong in (("--since", "yesterday"), ("--file", "missing.wav")):
        assert cli("ledger", "list", *wrong).status == 2


@pytest.mark.usefixtures("made")
def test_files_in_a_stored_voice_are_found_by_its_recording_even_after_a_revocation(cli, recording):
    samples, rate = soundfile.read(recording, dtype="float32")
    voice = StoredVoice("Mia", consent="hers", reference=ReferenceAudio(samples, rate))
    VoiceLibrary("voices").add(voice)
    ledger, hashed = Path("ledger.jsonl"), voice.reference.sha256
    ledger.write_text(re.sub('"voice":"Ryan"', f'"reference":"{hashed}"', ledger.read_text()))

    def listed():
        answer = cli("ledger", "list", "--voice", "mia")
        return [line.split("\t")[1] for line in answer.out.splitlines()]

    assert listed() == [f"clone of {hashed[:16]}"]
    answer = cli("voices", "revoke", "Mia", "--yes")
    assert (answer.status, "ledger list --voice 'Mia'" in answer.err) == (0, True)
    assert listed() == [f"clone of {hashed[:16]}"]


@pytest.mark.usefixtures("made")
def test_an_untouched_ledger_is_verified(cli):
    answer = cli("ledger", "verify")
    assert (answer.status, answer.out) == (
        0,
        f"{Path('ledger.jsonl').absolute()}: 2 records, none changed\n",
    )
    head = cli("ledger", "head").out.strip()
    assert cli("ledger", "verify", "--head", head, "--json").json == {
        "path": str(Path("ledger.jsonl").absolute()),
        "ok": True,
        "records": 2,
        "head": head,
        "pruned": 0,
        "problem": "",
    }
    assert cli("ledger", "verify", "--head", "2").status == 2


@pytest.mark.usefixtures("made")
def test_the_first_broken_record_is_named(cli):
    ledger = Path("ledger.jsonl")
    ledger.write_text(ledger.read_text().replace("Ryan", "Mia"))
    answer = cli("ledger", "verify")
    assert answer.status == 1
    assert "record 1 was changed" in answer.out
    answer = cli("ledger", "verify", "--json")
    assert (answer.status, answer.json["ok"], answer.json["records"]) == (1, False, 1)


@pytest.mark.usefixtures("made")
def test_a_shortened_ledger_is_found_by_a_head_that_was_kept_elsewhere(cli):
    head = cli("ledger", "head").out.strip()
    ledger, end = Path("ledger.jsonl"), Path("ledger.jsonl.head")
    first = ledger.read_bytes().splitlines(keepends=True)[0]
    ledger.write_bytes(first)
    end.write_text(f"1:{sha256(first.strip()).hexdigest()}")
    assert cli("ledger", "verify").status == 0
    answer = cli("ledger", "verify", "--head", head)
    assert (answer.status, "record 2 is missing" in answer.out) == (1, True)
