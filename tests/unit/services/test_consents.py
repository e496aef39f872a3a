"""Stored voices are used as their consent says: attacks, the clock, and revocation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256

import numpy as np
import pytest

from storycore_tts.domain.consent import Consent
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.errors import ConsentRefused, InvalidRequest, StorageFailed, UnknownSpeaker
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.sound.files import encode_exactly

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
TONE = ReferenceAudio(np.full(48_000, 0.5, np.float32), 24_000, "Hello there.")
OTHER = ReferenceAudio(np.full(48_000, 0.25, np.float32), 24_000, "Hello there.")
AT_ONCE = CloneRequest("Hi.", TONE, consent="Mia agreed")


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def library(tmp_path, clock):
    return VoiceLibrary(tmp_path / "voices", clock=clock)


def mia(reference=TONE, name="Mia", text="Mia, 2025-03-02", **scope):
    return StoredVoice(name, reference=reference, consent_record=Consent(text, **scope))


def tom(**given):
    return StoredVoice("Tom", checkpoint="/models/tom", speaker="tom_v2", **given)


def line(library, name="Mia", **how):
    return library.get(name).request("Hi.", **how)


def refused(library, request, said):
    with pytest.raises(ConsentRefused, match=said):
        library.consents.check(request)


def place(library, name="mia"):
    (folder,) = library.folder.glob(f"{name}-*")
    return folder


def edited(folder, **changes):
    path = folder / "voice.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def test_a_voice_is_used_within_its_scope(library):
    library.add(mia(projects=("harbour",), languages=("German",)))
    library.consents.check(line(library, project="harbour", language="de"))
    refused(library, line(library, project="film", language="de"), "not the project 'film'")
    refused(library, line(library, project="harbour"), "names no language")


def test_a_checkpoint_is_refused_only_if_it_has_a_consent(library):
    library.add(tom())
    library.consents.check(line(library, "Tom"))
    library.remove("Tom")
    library.add(tom(consent_record=Consent("Tom", purposes=("audiobook",))))
    library.consents.check(line(library, "Tom", purpose="audiobook"))
    refused(library, line(library, "Tom"), "names no purpose")


def test_an_expired_consent_stays_expired_when_the_clock_is_set_back(library, clock):
    library.add(mia(expires=NOW + timedelta(days=1)))
    request = line(library)
    library.consents.check(request)
    clock.now = NOW + timedelta(days=2)
    refused(library, request, "expired")
    clock.now = NOW
    refused(library, request, "expired")
    refused(VoiceLibrary(library.folder, clock=clock), request, "expired")


def test_a_clock_file_that_holds_no_time_is_not_taken_for_none(library):
    library.add(mia(expires=NOW + timedelta(days=1)))
    (library.folder / ".clock").write_text("never")
    with pytest.raises(StorageFailed, match="holds no time"):
        library.consents.check(line(library))


def test_a_record_that_was_copied_to_another_voice_is_refused(library):
    library.add(mia())
    library.add(mia(OTHER, "Zoe", "Zoe, today"))
    request = line(library, "Zoe")
    copied = json.loads((place(library) / "voice.json").read_text("utf-8"))["consent"]
    edited(place(library, "zoe"), consent=copied)
    refused(library, request, "given for another recording")
    with pytest.raises(ConsentRefused, match="given for another recording"):
        library.get("Zoe")
    (damaged,) = [entry for entry in library.entries() if entry.problem]
    assert damaged.name == "Zoe"


def test_a_recording_that_was_replaced_with_its_hash_is_refused(library):
    library.add(mia())
    data = encode_exactly(OTHER.samples, 24_000)
    (place(library) / "reference.wav").write_bytes(data)
    edited(place(library), sha256=sha256(data).hexdigest())
    with pytest.raises(ConsentRefused, match="given for another recording"):
        library.get("Mia")


def test_a_request_with_anothers_consent_is_refused(library):
    library.add(mia())
    library.add(mia(OTHER, "Zoe", "Zoe, today"))
    forged = replace(line(library, "Zoe"), voice_consent=line(library).voice_consent)
    refused(library, forged, "given for another recording")


def test_without_the_voice_there_is_no_consent(library):
    library.add(mia())
    request = line(library)
    library.remove("Mia")
    refused(library, request, "'Mia' has been removed")


def test_a_consent_that_was_renewed_holds_for_earlier_requests(library, clock):
    library.add(mia(expires=NOW + timedelta(days=1)))
    request = line(library)
    clock.now = NOW + timedelta(days=2)
    library.replace_consent("Mia", Consent("Mia, again", expires=NOW + timedelta(days=9)))
    library.consents.check(request)
    assert library.get("mia").consent == "Mia, again"


def test_a_revoked_voice_is_gone_and_refused_by_every_name_of_it(library):
    library.add(mia())
    request = line(library)
    recording = (place(library) / "reference.wav").read_bytes()
    revocation, removed = library.revoke("MIA", reason="She asked.")
    assert removed == recording
    assert (revocation.voice, revocation.revoked, revocation.reason) == ("Mia", NOW, "She asked.")
    refused(library, request, "revoked on 2026-11-29")
    refused(library, AT_ONCE, "revoked")  # the same recording, sent with the request
    library.consents.check(replace(AT_ONCE, reference=OTHER))
    with pytest.raises(ConsentRefused, match="revoked"):
        library.get("Mia")
    assert library.names() == []
    assert library.consents.revocations() == library.consents.revocations("mia") == [revocation]


def test_the_record_of_a_revocation_holds_neither_audio_nor_words(library):
    library.add(mia())
    library.revoke("Mia")
    kept = [path for path in library.folder.rglob("*") if path.is_file()]
    assert [path.parent.name for path in kept] == [".revoked"]
    text = kept[0].read_text("utf-8")
    assert "Hello there." not in text
    assert "2025-03-02" not in text
    assert TONE.sha256 in text


def test_a_revoked_recording_comes_back_with_a_new_consent_only(library):
    voice = mia()
    library.add(voice)
    request = line(library)
    library.revoke("Mia")
    for again in (voice, mia(), mia(name="Other"), mia(text=" MIA, 2025-03-02 ")):
        with pytest.raises(ConsentRefused, match="was revoked"):
            library.add(again)
    library.add(mia(text="Mia, again, 2026-12-01"))
    library.consents.check(line(library))
    refused(library, request, "revoked")  # made under the earlier consent
    refused(library, AT_ONCE, "revoked")


def test_the_same_consent_under_another_name_is_revoked_with_it(library):
    for name, text in (("Mia", "Mia, 2025-03-02"), ("Ann", "mia,  2025-03-02"), ("Zoe", "Other.")):
        library.add(mia(name=name, text=text))
    requests = {name: line(library, name) for name in ("Ann", "Zoe")}
    library.revoke("Mia")
    refused(library, requests["Ann"], "'Mia' was revoked")
    library.consents.check(requests["Zoe"])


def test_a_folder_from_a_backup_stays_revoked(library, tmp_path):
    library.add(mia())
    shutil.copytree(place(library), tmp_path / "backup")
    name = place(library).name
    library.revoke("Mia")
    shutil.copytree(tmp_path / "backup", library.folder / name)
    refused(library, line(library), "revoked")
    with pytest.raises(ConsentRefused, match="was revoked"):
        library.replace_consent("Mia", Consent("Mia, 2025-03-02"))


def test_a_revoked_checkpoint_is_refused_by_its_path_too(library):
    library.add(tom())
    library.revoke("Tom")
    refused(library, SpeechRequest("Hi.", "tom_v2", checkpoint="/models/tom"), "revoked")
    library.consents.check(SpeechRequest("Hi.", "eve", checkpoint="/models/eve"))
    with pytest.raises(ConsentRefused, match="was revoked"):
        library.add(tom())
    library.add(tom(consent="Tom, again"))
    library.consents.check(line(library, "Tom"))


def test_revoking_is_finished_by_the_next_call_if_it_was_interrupted(library):
    library.add(mia())
    request, record = line(library), library.get("Mia").consent_record
    library.consents.revoke("Mia", record, TONE.sha256, "")  # then the process is killed
    refused(library, request, "revoked")
    first, _ = library.revoke("Mia")
    assert len(library.consents.revocations()) == 1
    again, removed = library.revoke("Mia")
    assert (again, removed) == (first, b"")
    with pytest.raises(UnknownSpeaker):
        library.revoke("Zoe")


def test_a_record_of_a_revocation_that_is_damaged_lets_nothing_through(library):
    library.add(mia())
    request = line(library)
    library.revoke("Mia")
    (file,) = (library.folder / ".revoked").iterdir()
    file.write_text("{}")
    with pytest.raises(StorageFailed, match="record of a revocation"):
        library.consents.check(request)


def test_an_owners_voice_is_not_there_for_another(library):
    library.add(mia(owner="ann"))
    library.add(mia(OTHER, "Zoe", "Zoe, today"))
    assert library.names(owner="bob") == ["Zoe"]
    assert library.names(owner="ann") == library.names() == ["Mia", "Zoe"]
    assert library.find("Mia", owner="bob") is None
    assert library.find("Mia", owner="ann") is not None
    for call in (library.remove, library.revoke, library.get):
        with pytest.raises(UnknownSpeaker) as caught:
            call("Mia", owner="bob")
        assert "Mia" not in caught.value.hint
    library.revoke("Mia", owner="ann")
    assert library.find("Mia", owner="bob") is None


def test_a_voice_of_an_earlier_version_has_its_words_as_consent(library):
    library.add(mia())
    edited(place(library), format=1, consent="Mia, 2025-03-02")
    voice = library.get("Mia")
    assert (voice.consent, voice.consent_record.how) == ("Mia, 2025-03-02", "text")
    assert library.get("Mia").consent_record == voice.consent_record
    library.consents.check(voice.request("Hi."))
    library.revoke("Mia")
    refused(library, voice.request("Hi."), "revoked")


def test_a_record_may_be_imported_for_its_own_recording_only(library):
    library.add(mia())
    library.add(mia(OTHER, "Zoe", "Zoe, today"))
    record = replace(library.get("Mia").consent_record, projects=("harbour",))
    library.replace_consent("Mia", record)
    assert VoiceLibrary(library.folder).get("Mia").consent_record == record
    with pytest.raises(ConsentRefused, match="given for another recording"):
        library.replace_consent("Zoe", record)
    with pytest.raises(InvalidRequest):
        library.replace_consent("Max", record)
