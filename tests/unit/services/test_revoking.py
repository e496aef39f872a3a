"""The service drops what was made before a revocation but not yet delivered."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from storycore_tts.domain.consent import ConsentReference
from storycore_tts.domain.disclosure import Disclosure
from storycore_tts.domain.jobs import Withdrawn
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.errors import ConsentRefused
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.job_specs import to_json
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.speech_service import JobOptions, SpeechService, Store
from storycore_tts.services.voices import VoiceLibrary

REFERENCE = ReferenceAudio(np.full(48_000, 0.5, np.float32), 24_000, "Hello there.")
TEXT = "The first of them is here. The second one comes now."


class Queue:
    """Remembers what was withdrawn, and accepts no job."""

    def __init__(self):
        self.withdrawn = []

    async def withdraw(self, *what):
        self.withdrawn.append(what)
        return Withdrawn(("job-1",))

    async def submit(self, spec):
        pytest.fail("accepted")


class Revoking(Rendering):
    """Revokes the consent while it renders."""

    library = None

    def encode(self, speech):
        self.library.revoke("Mia")
        return super().encode(speech)


@pytest.fixture
def library(tmp_path):
    library = VoiceLibrary(tmp_path / "voices")
    library.add(StoredVoice("Mia", "Mia, today", REFERENCE))
    return library


@pytest.fixture
def forgotten():
    return []


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture
def service(fake, library, queue, forgotten):
    async def store():
        return Store(queue, None, None)

    tts = TextToSpeech(fake, name="fake", defaults=Defaults(), voices=library)
    capacity = Capacity("fake", concurrency=1, max_waiting=9)
    return SpeechService(
        {"fake": tts}, {"fake": capacity}, store=store, elsewhere=None, forget=forgotten.append
    )


async def line(service, text="Hi."):
    return await service.tts().request_for(text, speaker="Mia")


async def test_revoking_withdraws_the_jobs_and_what_was_prepared(service, queue, forgotten):
    request = await line(service)
    revocation, jobs = await service.revoke("mia", reason="She asked.")
    ((consent_id, recording, failure),) = queue.withdrawn
    assert consent_id == revocation.consent_id == request.voice_consent.id
    assert recording.startswith(b"RIFF")
    assert (failure.error, failure.retryable) == ("ConsentRefused", False)
    assert jobs == Withdrawn(("job-1",))
    assert forgotten == [REFERENCE.sha256]


async def test_no_job_is_accepted_without_consent(service, library):
    request = await line(service)
    library.revoke("Mia")
    with pytest.raises(ConsentRefused):
        await service.submit(None, request, JobOptions("ann"), reference="up_1")


async def test_speech_that_is_being_encoded_is_not_delivered(service, library, fake):
    rendering = Revoking()
    object.__setattr__(rendering, "library", library)
    with pytest.raises(ConsentRefused):
        await service.speak(None, await line(service), rendering)
    assert len(fake.requests) == 1


async def test_speech_after_a_notice_in_a_revoked_voice_is_not_delivered(service, library):
    rendering = Revoking(disclosure=Disclosure("Generated.", speaker="Mia"))
    object.__setattr__(rendering, "library", library)
    with pytest.raises(ConsentRefused):
        await service.speak(None, SpeechRequest("Hi.", "Ryan"), rendering)


async def test_a_sentence_that_waited_for_the_one_before_is_not_delivered(service, library, fake):
    pieces = service.stream(None, await line(service, TEXT), Rendering("pcm"))
    async with aclosing(pieces):
        assert await anext(pieces)
        while len(fake.requests) < 2 or not service.capacities["fake"].idle:
            await asyncio.sleep(0)
        library.revoke("Mia")
        with pytest.raises(ConsentRefused):
            await anext(pieces)


def test_the_consent_is_written_with_a_job_and_left_out_where_there_is_none():
    given = ConsentReference("Mia", "ab" * 16)
    request = CloneRequest("Hi.", REFERENCE, voice_consent=given, purpose="trailer")
    written = to_json(request, reference="up_1")["request"]
    assert written["voice_consent"] == {"voice": "Mia", "id": "ab" * 16}
    assert written["purpose"] == "trailer"
    left_out = to_json(replace(request, voice_consent=None, purpose=""), reference="up_1")
    assert not {"voice_consent", "purpose", "consent"} & left_out["request"].keys()
