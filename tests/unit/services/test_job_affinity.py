"""A job that another process began goes on at the server where it was begun."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import JobKind, JobSpec
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    OutOfMemory,
    StorageFailed,
)
from storycore_tts.ports import JobAffinityStore
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.job_specs import to_json
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.speech_service import SpeechService, Store

HERE, THERE = (
    BackendEndpoint("http://here.example:8188"),
    BackendEndpoint("http://there.example:8188"),
)
OUT_OF_REACH = BackendEndpoint("http://127.0.0.1:8188", "no machine of that name")
JOB = "8d5ab8d8-5e1b-4d1c-8f6e-3f6f0d1c2b3a"


class Speaking(DraftAdapter):
    """Speaks, or fails, and says who did it."""

    def __init__(self, where, said, error=None):
        super().__init__()
        self.where, self.said, self.error = where, said, error

    async def synthesize(self, request, **more):
        self.said.append((self.where, request.job_id))
        if self.error is not None:
            raise self.error
        return await super().synthesize(request, **more)


class AtAServer(TextToSpeech):
    endpoint = HERE


class Notes(dict):
    """Where jobs were begun, as long as this test runs."""

    async def find(self, job_id):
        return self.get(job_id)

    async def note(self, job_id, endpoint):
        self[job_id] = endpoint


class Begun:
    """A speech service that has taken up a job."""

    def __init__(self, begun, *, tts=AtAServer, error=None):
        self.said = []
        self.affinities = Notes({} if begun is None else {JOB: begun})
        assert isinstance(self.affinities, JobAffinityStore)

        @asynccontextmanager
        async def elsewhere(backend, endpoint):
            yield TextToSpeech(
                Speaking(endpoint, self.said, error), name=backend, defaults=Defaults()
            )

        self.speech = SpeechService(
            {"comfyui": tts(Speaking(HERE, self.said), name="comfyui", defaults=Defaults())},
            {"comfyui": Capacity("comfyui", concurrency=1, max_waiting=1)},
            store=self.store,
            elsewhere=elsewhere,
        )

    async def store(self):
        no_recording = SimpleNamespace(get=pytest.fail)  # no line of ours has one
        return Store(None, no_recording, self.affinities)

    async def goes_on(self):
        details = to_json(SpeechRequest("Good morning.", "Ryan"), rendering=Rendering("wav"))
        spec = JobSpec(JobKind.SPEECH, "comfyui", details, "ann")
        outcome = await self.speech.perform(JOB, spec, lambda _: None)
        assert np.isfinite(outcome.facts["duration"])
        assert len(outcome.audio) > 1000
        return [where for where, job_id in self.said if job_id == JOB]


@pytest.mark.parametrize(
    ("begun", "tts", "done", "noted"),
    [
        (None, AtAServer, [HERE], HERE),
        (HERE, AtAServer, [HERE], HERE),
        (OUT_OF_REACH, AtAServer, [HERE], HERE),
        (THERE, AtAServer, [THERE], THERE),
        (THERE, TextToSpeech, [HERE], THERE),  # a backend without a server needs no notes
    ],
)
async def test_it_goes_on_where_it_was_begun_or_here_and_that_is_noted(begun, tts, done, noted):
    speech_service = Begun(begun, tts=tts)
    assert await speech_service.goes_on() == done
    assert speech_service.affinities == {JOB: noted}


async def test_it_is_begun_anew_only_where_nobody_lets_us_in(caplog):
    for error in (BackendUnavailable, AuthenticationFailed):
        caplog.clear()
        speech_service = Begun(THERE, error=error("Nobody is there."))
        assert await speech_service.goes_on() == [THERE, HERE]
        assert speech_service.affinities == {JOB: HERE}
        assert "job.begun_anew" in caplog.text
    speech_service = Begun(THERE, error=OutOfMemory("The GPU is full."))
    with pytest.raises(OutOfMemory):
        await speech_service.goes_on()
    assert speech_service.affinities == {JOB: THERE}


async def test_it_is_not_begun_where_that_cannot_be_noted():
    speech_service = Begun(None)

    async def note(job_id, endpoint):
        raise StorageFailed("The database is away.")

    speech_service.affinities.note = note
    with pytest.raises(StorageFailed):
        await speech_service.goes_on()
    assert speech_service.said == []
