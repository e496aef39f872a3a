"""What a consent says, covers and is bound to."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.domain.consent import Consent, ConsentReference, Revocation, expiry
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.errors import ConsentRefused, InvalidRequest, UnsupportedLanguage

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
DIGEST = "5e" * 32
RECORDING = ReferenceAudio(np.ones(48_000, np.float32), transcript="Hello there.")


def covers(consent, *, now=NOW, project="", purpose="", language="English"):
    consent.check(voice="Mia", now=now, project=project, purpose=purpose, language=language)


@given(
    st.lists(st.sampled_from(["harbour", "Île", "a b"]), max_size=3).map(tuple),
    st.none()
    | st.datetimes(min_value=datetime(2000, 1, 2)).map(lambda d: d.replace(tzinfo=NOW.tzinfo)),
    st.sampled_from(["", DIGEST]),
)
def test_a_record_is_the_same_after_it_was_written(projects, expires, document):
    consent = Consent("Mia", projects=projects, languages=("fr",), expires=expires,
                      document_sha256=document, given_by="Mia B.", owner="ann")  # fmt: skip
    assert Consent.from_json(json.loads(json.dumps(consent.to_json()))) == consent


def test_the_strongest_evidence_is_named():
    assert Consent("Mia").how == "text"
    assert Consent("Mia", document_sha256=DIGEST).how == "document"
    assert Consent(statement_sha256=DIGEST, document_sha256=DIGEST).how == "statement"
    assert Consent(document_sha256=DIGEST, given_by="Mia").words == (
        f"document by Mia, sha256 {DIGEST}"
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"text": "…"},
        {"text": "Mia", "document_sha256": "abc"},
        {"text": "Mia", "id": "../x"},
        {"text": "Mia", "projects": "harbour"},
        {"text": "Mia", "projects": ("",)},
        {"text": "Mia", "expires": datetime(2027, 1, 1)},
        {"text": "Mia", "given_by": "a\nb"},
    ],
)
def test_what_is_no_record_is_refused(given):
    with pytest.raises(InvalidRequest):
        Consent(**given)


def test_languages_are_those_of_the_model():
    assert Consent("Mia", languages=("fr", "French", "de-DE")).languages == ("French", "German")
    with pytest.raises(UnsupportedLanguage):
        Consent("Mia", languages=("tlh",))


@pytest.mark.parametrize(
    ("scope", "covered", "others"),
    [
        ("projects", [{"project": "harbour"}, {"project": "Harbour"}], [{}, {"project": "film"}]),
        ("purposes", [{"purpose": "harbour"}], [{}, {"purpose": "trailer"}]),
    ],
)
def test_a_scope_covers_what_it_names_and_an_empty_one_everything(scope, covered, others):
    consent = Consent("Mia", **{scope: ("harbour",)})
    for line in covered:
        covers(consent, **line)
    for line in others:
        covers(Consent("Mia"), **line)
        with pytest.raises(ConsentRefused, match=r"'Mia' covers certain .* only") as caught:
            covers(consent, **line)
        assert caught.value.hint == "It covers: harbour."


def test_a_language_that_is_detected_is_not_known_to_be_covered():
    consent = Consent("Mia", languages=("French",))
    covers(consent, language="French")
    for language in ("English", "Auto"):
        with pytest.raises(ConsentRefused):
            covers(consent, language=language)


def test_it_ends_at_its_time():
    consent = Consent("Mia", expires=NOW)
    covers(consent, now=NOW - timedelta(seconds=1))
    with pytest.raises(ConsentRefused, match="expired on 2026-11-29 12:00 UTC"):
        covers(consent, now=NOW)


def test_a_date_is_a_whole_day_and_a_time_has_a_zone():
    assert expiry("2027-01-31") == datetime(2027, 2, 1, tzinfo=timezone.utc)
    assert expiry("2027-01-31T18:00:00+01:00") == datetime(2027, 1, 31, 17, tzinfo=timezone.utc)
    assert expiry("2027-01-31T18:00:00Z") == datetime(2027, 1, 31, 18, tzinfo=timezone.utc)
    for wrong in ("", "tomorrow", "2027-02-30", "2027-01-31T18:00:00", "9999-12-31"):
        with pytest.raises(InvalidRequest, match="is not a date"):
            expiry(wrong)


def test_the_same_evidence_is_recognized_whatever_its_spelling():
    one = Consent("Mia,  today")
    assert one.evidence_sha256 == Consent("mia, today", projects=("a",)).evidence_sha256
    assert one.evidence_sha256 != Consent("Mia, again").evidence_sha256
    assert one.evidence_sha256 != replace(one, document_sha256=DIGEST).evidence_sha256


def test_a_voice_binds_its_consent_to_its_recording():
    voice = StoredVoice("Mia", "Mia, today", RECORDING)
    record = voice.consent_record
    assert (record.text, record.how, record.given) == ("Mia, today", "text", voice.created)
    assert record.reference_sha256 == RECORDING.sha256
    assert voice.request("Hi.").voice_consent == ConsentReference("Mia", record.id)
    other = ReferenceAudio(np.full(48_000, 0.5, np.float32), transcript="Hello there.")
    assert other.sha256 != RECORDING.sha256
    with pytest.raises(ConsentRefused, match="given for another recording"):
        StoredVoice("Zoe", reference=other, consent_record=record)
    with pytest.raises(InvalidRequest, match="two consents"):
        StoredVoice("Mia", "Other words", RECORDING, consent_record=record)


def test_a_checkpoint_may_have_a_consent_bound_to_its_name():
    tom = StoredVoice("Tom", "Tom, today", checkpoint="/models/tom")
    assert tom.request("Hi.").voice_consent.id == tom.consent_record.id
    assert StoredVoice("Tom", checkpoint="/models/tom").request("Hi.").voice_consent is None
    with pytest.raises(ConsentRefused):
        StoredVoice("Tom", checkpoint="/models/eve", consent_record=tom.consent_record)


def test_a_revocation_is_the_same_after_it_was_written():
    revocation = Revocation("Mia", "ab" * 16, DIGEST, DIGEST, NOW, "she asked", "ann")
    assert Revocation.from_json(json.loads(json.dumps(revocation.to_json()))) == revocation
    assert "revoked on 2026-11-29 12:00 UTC" in revocation.refusal().message
