"""``storycore-tts voices``, and ``say`` in the voices that it stores."""

import json
from datetime import datetime, timedelta, timezone
from hashlib import sha256

import numpy as np
import pytest
import soundfile

from storycore_tts import VoiceLibrary
from storycore_tts.sound.files import decode

LINE = "These are words that the recording never said."
CONSENT = "my own voice, recorded on 2026-11-20"
CLONE = "FB_Qwen3TTSVoiceClone"


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch):
    """A library of this test's own."""
    monkeypatch.setenv("STORYCORE_TTS_VOICES_DIR", str(tmp_path / "voices"))
    return VoiceLibrary(tmp_path / "voices")


@pytest.fixture
def add(cli):
    """Stores a recording."""
    consent = ("--consent", CONSENT)
    return lambda name, path, *how: cli("voices", "add", name, "--reference", path, *how, *consent)


@pytest.fixture
def mia(add, spoken):
    """A recording that is stored."""
    audio, words = spoken
    answer = add("Mia", audio, "--ref-text", words)
    assert (answer.status, answer.out, answer.err) == (0, "Mia\n", "")
    return words


@pytest.fixture
def tom(cli):
    """A checkpoint that is stored."""
    answer = cli(
        "voices", "add", "Tom", "--checkpoint", "/srv/voices/tom", "--speaker", "tom_v2",
        "--model-choice", "1.7B", "-l", "fr", "--instruct", "Slowly.", "--json",
    )  # fmt: skip
    assert answer.status == 0
    return answer.json


def test_a_real_clone_by_name(cli, spoken, mia, speaking_server, tmp_path, library):
    out = tmp_path / "line.flac"
    answer = cli("say", LINE, "--speaker", "mia", "--url", speaking_server.url, "-o", out, "--json")
    assert (answer.status, answer.json["path"]) == (0, str(out))
    assert (answer.json["x_vector_only"], answer.json["warnings"]) == (False, [])
    samples, rate = soundfile.read(out)
    assert 1.5 < len(samples) / rate < 8
    assert abs(samples).max() > 0.05
    given, _ = decode(spoken[0].read_bytes())
    assert library.get("Mia").reference.samples.tobytes() == given.tobytes()


def test_the_timbre_alone_is_stored_when_that_is_asked_for_and_doubts_are_told(
    add, there, inputs_of, tmp_path
):
    soundfile.write(tmp_path / "short.wav", 0.3 * np.sin(np.arange(24_000) / 20), 24_000)
    answer = add("Timbre", "short.wav", "--x-vector-only", "--json")
    assert (answer.json["transcript"], answer.json["x_vector_only"]) == (None, True)
    assert "warning: the reference is 1.0 s long" in answer.err
    assert there("say", LINE, "-s", "timbre", "--json").json["x_vector_only"] is True
    assert inputs_of(CLONE)["x_vector_only"] is True


NO_VOICE = [
    ([], "either a reference recording or a checkpoint"),
    (["--reference", "WAV"], "either its transcript or --x-vector-only"),
    (["--reference", "WAV", "--ref-text", "Hi.", "--x-vector-only"], "either its transcript or"),
    (["--reference", "WAV", "--ref-text", " "], "The transcript is empty"),
    (["--reference", "WAV", "--ref-text", "Hi."], "consent"),
    (["--reference", "WAV", "--x-vector-only", "--consent", "c", "-s", "mia"], "no speaker"),
    (["--checkpoint", "/m", "--ref-text", "Hi."], "go with --reference"),
    (["--checkpoint", "/m", "--x-vector-only"], "go with --reference"),
    (["--checkpoint", "/m", "--language", "tlh"], "does not support"),
]


def test_what_makes_no_voice_is_refused(cli, spoken, library):
    for arguments, said in NO_VOICE:
        given = [spoken[0] if argument == "WAV" else argument for argument in arguments]
        answer = cli("voices", "add", "Mia", *given)
        assert (answer.status, answer.out) == (2, "")
        assert said in answer.err
        assert not library.folder.exists()


def test_the_list(cli, mia, tom, terminal):
    today = datetime.now(timezone.utc)
    days = {f"{today - timedelta(days=n):%Y-%m-%d}" for n in (0, 1)}  # midnight may come between
    rows = [line.split("\t") for line in cli("voices", "list").out.splitlines()]
    assert [row[:3] for row in rows] == [["Mia", "clone", ""], ["Tom", "checkpoint", "French"]]
    assert {row[3] for row in rows} <= days
    assert [row[4] for row in rows] == ["text", ""]
    told = cli("voices", "list", "--json").json
    keys = {"name", "kind", "language", "created", "problem", "consent"}
    assert [set(entry) for entry in told] == [keys, keys]
    assert [entry["problem"] for entry in told] == ["", ""]
    terminal()
    assert "clone" in cli("voices", "list").out
    assert CONSENT in cli("voices", "show", "Mia").out


def test_a_damaged_voice_is_told_of_and_can_be_removed(cli, mia, tom, library):
    for file in library.folder.glob("mia-*/voice.json"):
        file.write_text("{")
    answer = cli("voices", "list")
    assert [line.split("\t")[0] for line in answer.out.splitlines()] == ["Tom"]
    assert "warning: the voice 'mia-" in answer.err
    broken, _ = cli("voices", "list", "--json").json
    assert broken["kind"] is None
    shown = cli("voices", "show", "Mia", "--json")
    assert (shown.status, shown.json["error"]["type"]) == (4, "StorageFailed")
    assert cli("voices", "remove", broken["name"], "--yes").status == 0
    assert [entry["name"] for entry in cli("voices", "list", "--json").json] == ["Tom"]


def test_all_that_is_known_of_a_voice(cli, mia, tom):
    told = cli("voices", "show", "mia", "--json").json
    made = datetime.fromisoformat(told.pop("created"))
    assert datetime.now(timezone.utc) - made < timedelta(minutes=5)
    assert 3 < told.pop("duration") < 8
    record = told.pop("consent_record")
    assert (record["how"], record["text"]) == ("text", CONSENT)
    assert told == {
        "name": "Mia",
        "kind": "clone",
        "language": None,
        "instruct": "",
        "consent": CONSENT,
        "sample_rate": 24000,
        "transcript": mia,
        "x_vector_only": False,
        "checkpoint": None,
        "speaker": None,
        "model_choice": None,
    }
    assert cli("voices", "show", "Tom", "--json").json == tom
    facts = dict(line.split("\t") for line in cli("voices", "show", "Tom").out.splitlines())
    assert (facts["speaker"], facts["language"]) == ("tom_v2", "French")
    assert "transcript" not in facts
    assert {"checkpoint": "/srv/voices/tom", "instruct": "Slowly."}.items() <= tom.items()


def test_a_record_says_who_agreed_how_for_what_and_until_when(cli, add, spoken, tmp_path):
    (tmp_path / "signed.pdf").write_bytes(b"%PDF")
    (tmp_path / "said.wav").write_bytes(b"RIFF")
    answer = add(
        "Mia", spoken[0], "--ref-text", spoken[1], "--consent-by", "Mia B.",
        "--consent-document", "signed.pdf", "--consent-statement", "said.wav",
        "--projects", "harbour", "--projects", "pier", "--languages", "en",
        "--purposes", "audiobook", "--expires", "2100-01-31", "--json",
    )  # fmt: skip
    assert "the recorded statement was not checked" in answer.err
    record = answer.json["consent_record"]
    assert record["document_sha256"] == sha256(b"%PDF").hexdigest()
    assert record["statement_sha256"] == sha256(b"RIFF").hexdigest()
    (row,) = [line.split("\t") for line in cli("voices", "list").out.splitlines()]
    assert row[4] == (
        "statement by Mia B.; until 2100-02-01 00:00 UTC; projects: harbour, pier; "
        "purposes: audiobook; languages: English"
    )
    facts = dict(line.split("\t") for line in cli("voices", "show", "Mia").out.splitlines())
    assert (facts["consent given_by"], facts["consent projects"]) == ("Mia B.", "harbour, pier")
    assert add("Zoe", spoken[0], "--ref-text", "Hi.", "--consent-document", "none.pdf").status == 2


def test_a_line_out_of_scope_is_2_and_one_within_is_spoken(cli, add, spoken, there):
    add("Mia", spoken[0], "--x-vector-only", "--projects", "harbour", "--purposes", "audiobook")
    answer = there("say", LINE, "--speaker", "Mia", "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "ConsentRefused")
    within = ("--project", "harbour", "--purpose", "audiobook")
    assert there("say", LINE, "--speaker", "Mia", *within).status == 0


def test_a_revoked_voice_is_refused_and_listed(cli, mia, spoken, add):
    assert cli("voices", "revoke", "mia", stdin=b"n\n").status == 130
    answer = cli("voices", "revoke", "mia", "--yes", "--reason", "She asked.", "--json")
    assert (answer.status, answer.json["voice"], answer.json["ended"]) == (0, "Mia", [])
    said = cli("say", LINE, "--speaker", "Mia", "--backend", "draft", "--json")
    assert (said.status, said.json["error"]["type"]) == (2, "ConsentRefused")
    assert add("Mia", spoken[0], "--ref-text", mia).status == 2
    assert cli("voices", "list", "--json").json == []
    (revoked,) = cli("voices", "list", "--revoked", "--json").json
    assert revoked["reason"] == "She asked."
    assert cli("voices", "list", "--revoked").out.split("\t")[0] == "Mia"
    assert cli("voices", "revoke", "Max", "--yes").status == 2


def test_a_record_is_exported_and_imported_for_the_same_recording(cli, mia, add, spoken, tmp_path):
    exported = cli("voices", "consent", "export", "Mia").out
    assert mia not in exported
    record = json.loads(exported)
    record["consent"]["projects"] = ["harbour"]
    (tmp_path / "mia.json").write_text(json.dumps(record))
    assert cli("voices", "consent", "import", "mia.json").out == "Mia\n"
    assert cli("voices", "list").out.split("\t")[4] == "text; projects: harbour\n"
    soundfile.write(tmp_path / "other.wav", 0.3 * np.sin(np.arange(96_000) / 20), 24_000)
    add("Zoe", "other.wav", "--x-vector-only")
    refused = cli("voices", "consent", "import", "mia.json", "--name", "Zoe", "--json")
    assert (refused.status, refused.json["error"]["type"]) == (2, "ConsentRefused")
    for wrong in ("{", "[]", '{"format": 2}', '{"format": 1, "voice": "Mia", "consent": {}}'):
        (tmp_path / "mia.json").write_text(wrong)
        answer = cli("voices", "consent", "import", "mia.json")
        assert (answer.status, "holds no record of a consent" in answer.err) == (2, True)


def test_remove_asks(cli, tom, library):
    for stdin in (b"n\n", b"\n"):
        answer = cli("voices", "remove", "tom", stdin=stdin)
        assert (answer.status, answer.out) == (130, "")
        assert "Remove the voice 'tom'" in answer.err
    answer = cli("voices", "remove", "Tom", "--json")  # to an stdin that is closed
    assert (answer.status, answer.json["error"]["type"]) == (2, "InvalidRequest")
    assert "--yes" in answer.err
    assert library.names() == ["Tom"]
    assert cli("voices", "remove", "tom", stdin=b"YES\n").status == 0
    assert library.names() == []
    listed = cli("voices", "list")
    assert (listed.out, cli("voices", "list", "--json").json) == ("", [])
    assert listed.err.startswith("No voices are stored yet")


def test_remove_can_be_told_not_to_ask(cli, tom):
    answer = cli("voices", "remove", "Tom", "--yes", "--json")
    assert (answer.status, answer.json, answer.err) == (0, {"name": "Tom", "removed": True}, "")


def test_an_unknown_voice_is_2_and_lists_those_there_are(cli, mia):
    for command in (["show", "Mai"], ["remove", "Mai", "--yes"]):
        answer = cli("voices", *command, "--json")
        assert (answer.status, answer.json["error"]["type"]) == (2, "UnknownSpeaker")
        assert "Did you mean 'Mia'?" in answer.err
    answer = cli("say", LINE, "--speaker", "Mai", "--backend", "draft")
    assert answer.status == 2
    assert "Stored voices: Mia." in answer.err


def test_speakers_lists_them_too(cli, mia, tom):
    rows = [line.split("\t") for line in cli("speakers", "--backend", "draft").out.splitlines()]
    assert rows[-2:] == [
        ["Mia", "", "stored voice (clone)"],
        ["Tom", "French", "stored voice (checkpoint)"],
    ]
    assert len(rows) == 11
    kinds = [speaker["kind"] for speaker in cli("speakers", "--backend", "draft", "--json").json]
    assert kinds == ["built-in"] * 9 + ["clone", "checkpoint"]


def test_a_file_of_settings_names_the_library(cli, tmp_path, monkeypatch):
    monkeypatch.delenv("STORYCORE_TTS_VOICES_DIR")
    (tmp_path / "mine.yaml").write_text(f"tts: {{qwen: {{voices_dir: {tmp_path / 'other'}}}}}")
    assert cli("voices", "add", "Tom", "--checkpoint", "/m", "--config", "mine.yaml").status == 0
    assert VoiceLibrary(tmp_path / "other").names() == ["Tom"]
