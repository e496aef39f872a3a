"""The files of a ledger."""

import hmac
import json
import os
import signal
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from hashlib import sha256

import numpy as np
import pytest

from storycore_tts.adapters.ledger import Head, Ledger
from storycore_tts.container import marking_for
from storycore_tts.domain.consent import ConsentReference
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import StorageFailed
from storycore_tts.services.disclosure import disclosed
from storycore_tts.settings import QwenTTSConfig

TEXT = "Nobody may read this."
RECORDING = ReferenceAudio(np.sin(np.arange(24_000, dtype=np.float32)), transcript="As I said.")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL, no modes")


class Clock:
    now = datetime(2026, 12, 1, tzinfo=timezone.utc)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kept" / "ledger.jsonl"


@pytest.fixture
def ledger(file, clock):
    return Ledger(file, clock=clock)


def speech(**how):
    request = SpeechRequest(TEXT, "Serena", sampling=Sampling(top_k=7, seed=3))
    facts = {
        "samples": np.zeros(12_000, np.float32),
        "backend": "fake",
        "model": "m",
        "speaker": "Serena",
        "seed": 3,
        "request": request,
    }
    return Speech(sample_rate=24_000, **{**facts, **how})


def write(ledger, count=1, **how):
    for _ in range(count):
        ledger.append(speech(**how), sha256(b"a file").hexdigest(), ".mp3")


def problem(ledger, known=None):
    return ledger.verify(known).problem


def test_a_record_says_how_a_file_was_made(ledger, clock):
    write(ledger)
    (facts,) = ledger.records()
    assert (
        facts.items()
        >= {
            "kind": "file",
            "time": "2026-12-01T00:00:00.000+00:00",
            "file": sha256(b"a file").hexdigest(),
            "format": "mp3",
            "seconds": 0.5,
            "backend": "fake",
            "model": "m",
            "voice": "Serena",
            "seed": 3,
            "sampling": {"top_k": 7},
        }.items()
    )


@posix
def test_a_text_is_only_a_hash_that_cannot_be_guessed(ledger, file):
    write(ledger)
    (facts,) = ledger.records()
    secret = file.with_name("ledger.jsonl.key")
    assert facts["text"] == hmac.new(secret.read_bytes(), TEXT.encode(), sha256).hexdigest()
    assert facts["text"] == ledger.text_hash(TEXT)
    assert TEXT not in file.read_text("utf-8")
    for one in (file, secret, file.with_name("ledger.jsonl.head")):
        assert stat.S_IMODE(one.stat().st_mode) == 0o600


def test_a_clone_is_recorded_by_the_hash_of_its_reference(ledger):
    request = CloneRequest(TEXT, RECORDING)
    write(ledger, request=request, speaker="")
    (facts,) = ledger.records()
    assert facts["reference"] == RECORDING.sha256
    assert RECORDING.transcript not in json.dumps(facts)


def test_the_consent_to_a_stored_voice_is_named_and_a_stated_one_is_a_hash(ledger):
    given = ConsentReference("Mia", "c" * 32)
    write(ledger, request=CloneRequest(TEXT, RECORDING, voice_consent=given), speaker="")
    write(ledger, request=CloneRequest(TEXT, RECORDING, consent="My own voice."), speaker="")
    stored, at_once = ledger.records()
    assert (stored["voice"], stored["consent"]) == ("Mia", "c" * 32)
    assert at_once["stated_consent"] == ledger.text_hash("My own voice.")


def test_the_voice_of_a_spoken_notice_is_recorded_too(ledger):
    who = ConsentReference("Notty", "ab" * 16)
    notice = speech(request=CloneRequest("Made by AI.", RECORDING, voice_consent=who))
    write(ledger, notice=disclosed(speech(), notice).notice)
    (facts,) = ledger.records()
    assert (facts["disclosed"], facts["voice"]) == (True, "Serena")
    assert (facts["notice_voice"], facts["notice_consent"]) == (who.voice, who.id)
    assert facts["notice_reference"] == RECORDING.sha256


def test_a_stream_is_recorded_when_it_has_ended(tmp_path):
    settings = {"enabled": True, "path": str(tmp_path / "ledger.jsonl")}
    marking = marking_for(QwenTTSConfig(ledger=settings))
    marking.stream_ended(speech(samples=np.zeros(0, np.float32)), "ab" * 32, ".opus")
    (facts,) = Ledger(tmp_path / "ledger.jsonl").records()
    assert (facts["file"], facts["format"], "seconds" in facts) == ("ab" * 32, "opus", False)


def test_the_bytes_of_a_file_are_those_that_are_recorded(tmp_path):
    settings = {"enabled": True, "path": str(tmp_path / "ledger.jsonl")}
    marking = marking_for(QwenTTSConfig(ledger=settings))
    data = speech(marker=marking).encode(".flac")
    (facts,) = Ledger(tmp_path / "ledger.jsonl").records()
    assert (facts["file"], facts["format"]) == (sha256(data).hexdigest(), "flac")


@pytest.mark.parametrize("required", [False, True])
def test_a_file_that_cannot_be_recorded_is_made_all_the_same_unless_records_are_required(
    tmp_path, required, caplog
):
    (tmp_path / "ledger.jsonl").mkdir()
    settings = {"enabled": True, "path": str(tmp_path / "ledger.jsonl"), "required": required}
    made = speech(marker=marking_for(QwenTTSConfig(ledger=settings)))
    if required:
        with pytest.raises(StorageFailed, match=r"Cannot write to the ledger .*: Is a directory"):
            made.encode()
    else:
        assert made.encode()[:4] == b"RIFF"
        assert "marking.not_recorded" in caplog.text


def test_the_head_is_that_of_the_last_record(ledger, file):
    assert str(ledger.head()) == f"0:{'0' * 64}"
    write(ledger, 2)
    last = file.read_bytes().split(b"\n")[1]
    assert str(ledger.head()) == f"2:{sha256(last).hexdigest()}"
    assert not problem(ledger, ledger.head())


def test_a_removed_end_is_found_even_after_further_records(ledger, file):
    write(ledger, 5)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]))
    assert problem(ledger) == "records 4 to 5 are missing"
    write(ledger, 2)
    assert problem(ledger) == "records 4 to 5 are missing"


def test_a_cut_file_is_found_even_after_further_records(ledger, file):
    write(ledger, 5)
    os.truncate(file, file.stat().st_size - 200)
    assert problem(ledger) == "record 5 is missing"
    write(ledger, 2)
    assert problem(ledger) == "record 5 is missing"
    assert ledger.verify().records == 4


def test_a_changed_last_record_is_found_even_after_further_records(ledger, file):
    write(ledger, 2)
    file.write_bytes(file.read_bytes().replace(b'"seed":3', b'"seed":4'))
    for line in file.read_bytes().splitlines():
        assert b'"seed":4' in line
    assert "record 1 was changed" in problem(ledger)
    write(ledger)
    assert "record 1 was changed" in problem(ledger)


def test_a_removed_ledger_is_found_while_its_head_is_there(ledger, file):
    write(ledger, 3)
    file.unlink()
    assert problem(ledger) == "records 1 to 3 are missing"
    write(ledger)
    assert problem(ledger) == "records 1 to 3 are missing"


def test_a_rewritten_end_is_found_by_a_head_that_was_kept_elsewhere(ledger, file, tmp_path):
    write(ledger, 3)
    known = ledger.head()
    for name in ("ledger.jsonl", "ledger.jsonl.head"):
        file.with_name(name).unlink()
    write(ledger, 4, seed=9)
    assert not problem(ledger)
    assert "record 3 was changed" in problem(ledger, known)
    assert problem(ledger, Head(7, "0" * 64)) == "records 5 to 7 are missing"


def test_an_end_that_cannot_be_read_takes_no_record_with_it(ledger, file):
    write(ledger, 2)
    with file.open("ab") as end:
        end.write(b"\xff garbage\n")
    write(ledger)
    assert problem(ledger) == "record 3 cannot be read"
    with pytest.raises(StorageFailed, match=r"line 3 of .* cannot be read"):
        list(ledger.records())
    file.with_name("ledger.jsonl.head").unlink()
    file.write_bytes(b"\xff garbage\n")
    with pytest.raises(StorageFailed, match=r"The ledger is damaged: the end of .*"):
        write(ledger)


def test_old_records_are_pruned_and_the_chain_still_holds(file, clock):
    ledger = Ledger(file, keep_days=10, clock=clock)
    for _ in range(16):
        write(ledger)
        clock.now += timedelta(days=1)
    records = list(ledger.records())
    files = [one["time"][:10] for one in records if one["kind"] == "file"]
    assert (files[0], len(files)) == ("2026-12-05", 12)
    verdict = ledger.verify(ledger.head())
    assert (verdict.problem, verdict.pruned) == ("", 4)
    _, *rest = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(rest))
    assert problem(ledger) == f"records 1 to {records[0]['seq']} are missing"


def test_records_are_pruned_once_a_day_at_most(file, clock):
    ledger = Ledger(file, keep_days=1, clock=clock)
    for _ in range(96):
        write(ledger)
        clock.now += timedelta(hours=1)
    kinds = [one["kind"] for one in ledger.records()]
    assert kinds.count("checkpoint") <= 2
    assert kinds.count("file") <= 48


def test_pruning_does_not_hide_what_was_wrong(file, clock):
    ledger = Ledger(file, keep_days=10, clock=clock)
    write(ledger, 3)
    file.write_bytes(file.read_bytes().replace(b'"seed":3', b'"seed":4', 1))
    clock.now += timedelta(days=12)
    write(ledger)
    assert "record 1 was changed" in problem(ledger)
    assert "when older records were pruned" in problem(ledger)
    assert ledger.verify().pruned == 3
    clock.now += timedelta(days=12)  # the record of it is pruned as well
    write(ledger)
    assert not problem(ledger)


WRITER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from storycore_tts.adapters.ledger import Ledger
from storycore_tts.domain.speech import Speech

ledger = Ledger(Path(sys.argv[1]))
speech = Speech(np.zeros(240, np.float32), 24_000, backend="fake", model="m")


def write(count):
    for number in range(count):
        ledger.append(speech, "0" * 64, ".wav")
        print(number + 1, flush=True)

"""


def start(file, program):
    command = [sys.executable, "-c", WRITER + program, str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_write_at_the_same_time(ledger, file):
    writers = [start(file, "write(40)") for _ in range(3)]
    assert [writer.communicate(timeout=110) and writer.returncode for writer in writers] == [0] * 3
    assert [one["seq"] for one in ledger.records()] == list(range(1, 121))
    assert not problem(ledger)


@posix
@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_killed_process_loses_no_record_and_breaks_nothing(ledger, file, after):
    with start(file, "write(10**6)") as writer:
        for _ in range(after):
            last = int(writer.stdout.readline())
        writer.kill()
    assert len(list(ledger.records())) >= last
    assert not problem(ledger)
    write(ledger)
    assert not problem(ledger)


@posix
@pytest.mark.parametrize("written", [0, 1, 300])
def test_a_process_that_is_killed_in_the_middle_of_a_record_breaks_nothing(ledger, file, written):
    write(ledger, 2)
    kill = f"""
size = os.path.getsize(sys.argv[1])


def torn(number):
    os.ftruncate(number, size + {written})
    os.kill(os.getpid(), signal.SIGKILL)


os.fsync = torn
write(1)
"""
    with start(file, kill) as writer:
        assert writer.wait(110) == -signal.SIGKILL
    assert not problem(ledger)
    write(ledger)
    assert [one["seq"] for one in ledger.records()] == [1, 2, 3]
    assert not problem(ledger)
