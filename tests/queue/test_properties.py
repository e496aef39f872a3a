"""What holds for any job."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.queue import documents, tables
from storycore_tts.adapters.queue.claims import Claims
from storycore_tts.adapters.queue.identifiers import Identifiers, uploads_in
from storycore_tts.adapters.queue.repository import JobRepository
from storycore_tts.adapters.queue.storage import Storage
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
    backend=st.just("draft"),
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


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    storage = Storage(None, tmp_path_factory.mktemp("state"))
    storage.open()
    with storage.writing() as connection:
        tables.metadata.create_all(connection)
    yield storage
    storage.close()


@pytest.fixture(scope="module")
def repository(database):
    identifiers = Identifiers()
    identifiers.load(database)
    return JobRepository(database, identifiers, 10**6)


@pytest.fixture(scope="module")
def claims(database):
    return Claims(database, "worker", 10)


@pytest.fixture(scope="module")
def fresh_key():
    """Makes keys of one example, which no other one has used."""
    return map(str, itertools.count())


@few
@given(specs)
def test_a_job_comes_back_as_it_was(repository, fresh_key, spec):
    if spec.idempotency_key is not None:
        spec = replace(spec, idempotency_key=next(fresh_key) + spec.idempotency_key)
    job = repository.accept(spec)
    assert job.spec == spec
    assert repository.find(spec.owner, job.id) == job
    assert (job.state, job.started, job.ended) == (JobState.QUEUED, None, None)


@few
@given(details, texts, st.binary(), failures, news)
def test_an_outcome_comes_back_as_it_was(
    repository, claims, facts, media_type, audio, failure, progress
):
    for document, sound in (
        (documents.of_success(Outcome(facts, audio, media_type)), audio),
        (documents.of_failure(failure), b""),
    ):
        job = repository.accept(JobSpec(JobKind.SPEECH, "outcomes", {}, "ann"))
        [claim] = claims.claim({"outcomes": 1})
        told = documents.progress_to_json(progress)
        assert claims.finish(job.id, claim.attempt, document, sound, told)
        job = repository.find("ann", job.id)
        assert job.progress == progress
        assert job.created <= job.started <= job.ended
        if job.state is JobState.FAILED:
            assert (job.failure, job.facts) == (failure, {})
            continue
        assert (job.facts, job.failure) == (facts, None)
        assert job.media_type == (media_type if audio else "")
        if audio:
            assert repository.audio(job).data == audio


@few
@given(specs, specs)
def test_a_key_stands_for_one_spec(repository, fresh_key, one, other):
    key = next(fresh_key)
    one, other = (replace(each, idempotency_key=key, owner=one.owner) for each in (one, other))
    first = repository.accept(one)
    assert repository.accept(one).id == first.id
    texts = [documents.spec_to_json(each) for each in (one, other)]
    if documents.same_spec(*texts):
        assert repository.accept(other).id == first.id
    else:
        with pytest.raises(IdempotencyConflict):
            repository.accept(other)


@few
@given(texts, texts, texts, texts)
def test_others_keys_stand_for_other_jobs(owner, key, other_owner, other_key):
    assume((owner, key) != (other_owner, other_key))
    identifiers = Identifiers()
    assert identifiers.job(owner, key) != identifiers.job(other_owner, other_key)


@few
@given(specs)
def test_what_is_written_is_ascii(spec):
    text = documents.spec_to_json(spec)
    assert text.isascii()
    assert "\0" not in text


@few
@given(details, st.sampled_from(["{}", "x {} y", "{}{}", "{}-"]))
def test_uploads_are_found_wherever_they_are_named(some, around):
    upload_id = "up_" + "0123456789abcdef" * 3
    named = {**some, "deep": [{"er": around.replace("{}", upload_id)}]}
    assert upload_id in uploads_in(named)
