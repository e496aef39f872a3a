"""A spoken notice in front of speech."""

import json
from dataclasses import replace

import numpy as np
import pytest

from storycore_tts.domain.disclosure import Disclosure, Notice, default_notice
from storycore_tts.domain.jobs import JobKind
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.disclosure import disclosed, spoken_notice
from storycore_tts.services.job_specs import from_json, to_json
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.speech_service import SpeechService


def speech(value, seconds=1.0, **how):
    samples = np.full(round(24_000 * seconds), value, np.float32)
    return Speech(samples, 24_000, **{"backend": "fake", "model": "m", **how})


@pytest.fixture
def tts(fake):
    return TextToSpeech(fake, name="fake", defaults=Defaults("Ryan", "German"))


def test_the_notice_is_heard_first_then_a_pause_then_the_speech():
    line = speech(0.5, seconds=2, warnings=("quiet",), speaker="Mia")
    notice = speech(0.2, request=SpeechRequest("By AI.", "Ryan"), warnings=("fast",))
    joined = disclosed(line, notice, pause=0.5)
    assert joined.samples.dtype == np.float32
    assert np.array_equal(joined.samples[:24_000], notice.samples)
    assert not joined.samples[24_000:36_000].any()
    assert np.array_equal(joined.samples[36_000:], line.samples)
    assert joined.notice == Notice("By AI.", 1.0, notice.request)
    assert joined.warnings == ("disclosure: fast", "quiet")
    assert joined.speaker == "Mia"
    assert len(disclosed(line, notice).samples) == round(3.4 * 24_000)


def test_the_whole_is_of_a_model_if_a_part_is():
    drawn, computed = speech(0.1), speech(0.1, source_type="algorithmicMedia")
    assert disclosed(computed, drawn).source_type == "trainedAlgorithmicMedia"
    assert disclosed(computed, computed).source_type == "algorithmicMedia"


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(InvalidRequest, match="8000 Hz and the speech 24000 Hz"):
        disclosed(speech(0.1), replace(speech(0.1), sample_rate=8000))
    with pytest.raises(InvalidRequest, match="pause"):
        disclosed(speech(0.1), speech(0.1), pause=-1)


async def test_the_notice_is_spoken_in_its_own_voice_and_the_language_of_the_line(tts, fake):
    async def said(disclosure, language):
        await spoken_notice(tts, disclosure, SpeechRequest("x", "Serena", language=language))
        request = fake.requests[-1]
        return request.text, request.speaker, request.language

    french = default_notice("French")
    assert await said(Disclosure(), "French") == (french, "Ryan", "French")
    assert await said(Disclosure(), "Auto") == (default_notice("English"), "Ryan", "English")
    assert await said(Disclosure("Par moi.", "Eric"), "Auto") == ("Par moi.", "Eric", "Auto")


def test_a_faster_line_leaves_the_notice_as_it_is():
    pytest.importorskip("av")
    outcome = Rendering(speed=2.0).applied(speech(0.5, seconds=2), speech(0.2))
    assert outcome.facts["duration"] == pytest.approx(1 + 0.4 + 1, abs=0.05)
    assert outcome.facts["disclosure"] == {"text": "", "seconds": 1.0}


def test_a_disclosed_line_that_is_stretched_keeps_the_end_of_its_notice():
    pytest.importorskip("av")
    assert disclosed(speech(0.5), speech(0.2)).stretched(2).notice == Notice("", 0.5)


async def test_a_notice_that_fails_costs_no_line(tts, fake):
    capacities = {"fake": Capacity("fake", concurrency=1, max_waiting=1)}
    service = SpeechService({"fake": tts}, capacities, store=None, elsewhere=None)
    fake.knows = ["Serena"]
    line = SpeechRequest("Hello.", "Serena")
    with pytest.raises(InvalidRequest, match="no speaker"):
        await service.speak("fake", line, Rendering(disclosure=Disclosure(speaker="Eric")))
    assert not [request for request in fake.requests if request.text == line.text]


async def test_a_job_keeps_its_notice():
    rendering = Rendering("mp3", disclosure=Disclosure("By AI.", "Ryan"))
    document = json.loads(json.dumps(to_json(SpeechRequest("x", "Ryan"), rendering=rendering)))
    job = "0b0e7a52-3a58-4b1f-9f39-7a8f0f7d2b11"
    _, read = await from_json(JobKind.SPEECH, document, job_id=job, fetch=None)
    assert read == rendering


def test_a_job_without_a_notice_can_be_read_by_older_versions():
    document = to_json(SpeechRequest("x", "Ryan"), rendering=Rendering())
    assert document["rendering"].keys() == {"format", "speed", "pitch"}
