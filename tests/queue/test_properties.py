"""What holds for any order."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.repository import JobRepository, uploads_in
from storycore_tts.adapters.queue.runtime import Entry
from storycore_tts.adapters.queue.states import job_of
from storycore_tts.adapters.queue.tables import Note
from storycore_tts.domain.jobs import (
    Failure,
    IdempotencyConflict,
    JobKind,
    JobSpec,
    JobState,
    Outcome,
)
from storycore_tts.domain.progress import Progress, Stage

few = settings(max_examples=25)
texts = st.text(st.characters())  # halves of surrogate pairs, too
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    plain | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10
)
details = st.dictionaries(texts, values, max_size=4)
specs = st.builds(
    JobSpec,
    kind=st.sampled_from(JobKind),
    backend=texts,
    details=details,
    owner=texts,
    priority=st.integers(-10, 10),
    time_limit=st.none() | st.floats(0.1, 1e6),
    idempotency_key=st.none() | texts,
)
failures = st.builds(Failure, texts, texts, st.none() | texts, st.none() | texts, st.booleans())
fractions = st.none() | st.floats(0, 1)
news = st.builds(
    Progress, st.sampled_from(Stage), fractions, texts, *[st.none() | st.integers()] * 4, fractions
)


def stored(document):
    """A document as a database gives it back: it was ASCII on the way."""
    text = documents.written(document)
    assert text.isascii()
    assert "\0" not in text
    return json.loads(text)


class Memory:
    """A runtime and tables that keep jobs in a dictionary."""

    def __init__(self):
        self.entries = {}

    def secret(self):
        return b"secret"

    def touch_uploads(self, ids):
        pass

    def notes(self, ids):
        return {}

    def entry(self, job_id):
        return self.entries.get(job_id)

    def enqueue(self, job_id, owner, spec, most):
        assert job_id not in self.entries
        self.entries[job_id] = entry(spec, id=job_id, owner=owner)
        return True


def entry(spec, **fields):
    known = {"id": "1", "owner": "", "executor": "", "created": 0, "updated": 0, "outcome": None}
    known |= {"status": "ENQUEUED", "started": None, "ended": None, "spec": stored(spec)}
    return Entry(**known | fields)


def ledger():
    memory = Memory()
    made = JobRepository(memory, memory, 10)
    made.open()
    return made


@few
@given(specs)
def test_an_order_comes_back_as_it_was(spec):
    document = documents.spec_to_json(spec)
    assert documents.spec_from_json(stored(document)) == spec
    job = job_of(entry(document), None)
    assert job.spec == spec
    assert job.state is JobState.QUEUED


@few
@given(details, texts, st.binary(), failures, news, st.integers(0, 2**42))
def test_an_outcome_comes_back_as_it_was(facts, media_type, audio, failure, progress, at):
    spec = documents.spec_to_json(JobSpec(JobKind.SPEECH, "draft", {}, "ann"))
    kept = stored(documents.of_success(Outcome(facts, audio, media_type)))
    job = job_of(entry(spec, status="SUCCESS", outcome=kept, ended=at), None)
    assert (job.state, job.facts) == (JobState.SUCCEEDED, facts)
    assert job.media_type == (media_type if audio else "")
    assert job.created <= job.ended

    kept = stored(documents.of_failure(failure))
    note = Note(at, at, documents.of_progress(progress))
    job = job_of(entry(spec, status="SUCCESS", outcome=kept), note)
    assert (job.state, job.failure, job.progress) == (JobState.FAILED, failure, progress)
    assert job.created <= job.started <= job.ended


@few
@given(specs, specs, texts)
def test_a_key_stands_for_one_order(one, other, key):
    one, other = replace(one, idempotency_key=key), replace(other, idempotency_key=key)
    other = replace(other, owner=one.owner)
    book = ledger()
    first = book.accept(one)
    assert book.accept(one).id == first.id
    if documents.same_spec(documents.spec_to_json(one), documents.spec_to_json(other)):
        assert book.accept(other).id == first.id
    else:
        with pytest.raises(IdempotencyConflict):
            book.accept(other)


@few
@given(specs, texts, texts, texts, texts)
def test_others_keys_stand_for_other_jobs(spec, owner, key, other_owner, other_key):
    assume((owner, key) != (other_owner, other_key))
    book = ledger()
    one = book.accept(replace(spec, owner=owner, idempotency_key=key))
    other = book.accept(replace(spec, owner=other_owner, idempotency_key=other_key))
    assert one.id != other.id


@few
@given(details, st.sampled_from(["{}", "x {} y", "{}{}", "{}-"]))
def test_uploads_are_found_wherever_they_are_named(some, around):
    upload_id = "up_" + "0123456789abcdef" * 3
    named = {**some, "deep": [{"er": around.replace("{}", upload_id)}]}
    assert upload_id in uploads_in({"details": named})
