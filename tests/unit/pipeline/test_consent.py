"""Consent is checked before a call, and again before anything is delivered."""

from __future__ import annotations

from contextlib import aclosing

import numpy as np
import pytest

from storycore_tts.domain.consent import ConsentReference
from storycore_tts.domain.events import RequestFinished
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.errors import ConsentRefused
from storycore_tts.pipeline.calls import Call, Dispatcher, Pipeline
from storycore_tts.pipeline.consent import NOT_STATED, ConsentCheck
from storycore_tts.pipeline.observing import Observer
from storycore_tts.pipeline.sharing import SharedBackends
from storycore_tts.ports.operations import CLONE, SPEAKERS, STREAM, SYNTHESIZE

REFERENCE = ReferenceAudio(np.full(24_000, 0.5, np.float32), transcript="Ah.")
MIA = ConsentReference("Mia", "ab" * 16)
STORED = CloneRequest("Hi.", REFERENCE, voice_consent=MIA)
AT_ONCE = CloneRequest("Hi.", REFERENCE)


class Records:
    """Refuses each check after some that pass."""

    def __init__(self, passing=1000):
        self.passing = passing
        self.checked = []

    def check(self, request):
        self.checked.append(request)
        if len(self.checked) > self.passing:
            raise ConsentRefused("Mia revoked it.")


@pytest.fixture
def over(scripted):
    def make(records, at_once="warned", adapter=None):
        adapter = adapter or scripted("robot")
        check = ConsentCheck(lambda: records, lambda: at_once)
        return adapter, Pipeline(Dispatcher(adapter, "robot"), check)

    return make


async def streamed(backend, request, into):
    stream = await backend.send(Call(STREAM, request))
    async with aclosing(stream.chunks) as chunks:
        async for chunk in chunks:
            into.append(chunk)


async def test_without_consent_nothing_is_begun(over):
    adapter, backend = over(Records(passing=0))
    with pytest.raises(ConsentRefused):
        await backend.send(Call(CLONE, STORED))
    assert adapter.calls == []


async def test_a_result_is_dropped_if_consent_ended_meanwhile(over):
    adapter, backend = over(Records(passing=1))
    with pytest.raises(ConsentRefused):
        await backend.send(Call(CLONE, STORED))
    assert [name for name, _ in adapter.calls] == ["clone"]


async def test_a_stream_ends_before_the_next_chunk(over):
    _, backend = over(Records(passing=3))  # before the call, and two chunks
    chunks = []
    with pytest.raises(ConsentRefused):
        await streamed(backend, STORED, chunks)
    assert len(chunks) == 2


async def test_a_fine_tuned_voice_is_checked_and_a_built_in_one_is_not(over):
    _, backend = over(records := Records())
    await backend.send(Call(SYNTHESIZE, SpeechRequest("Hi.", "Ryan")))
    await backend.send(Call(SPEAKERS))
    assert records.checked == []
    line = SpeechRequest("Hi.", "tom", checkpoint="/models/tom", voice_consent=MIA)
    await backend.send(Call(SYNTHESIZE, line))
    assert records.checked == [line, line]


@pytest.mark.parametrize(
    ("at_once", "request_", "warnings"),
    [
        ("warned", AT_ONCE, (NOT_STATED,)),
        ("off", AT_ONCE, ()),
        ("warned", CloneRequest("Hi.", REFERENCE, consent="Mine."), ()),
        ("required", CloneRequest("Hi.", REFERENCE, consent="Mine."), ()),
        ("warned", STORED, ()),
        ("required", STORED, ()),
    ],
)
async def test_a_recording_that_is_cloned_at_once_has_a_statement_or_a_warning(
    over, at_once, request_, warnings
):
    _, backend = over(Records(), at_once)
    assert (await backend.send(Call(CLONE, request_))).warnings == warnings
    await streamed(backend, request_, chunks := [])
    assert [chunk.warnings for chunk in chunks] == [warnings] * 3


async def test_a_statement_that_is_required_is_asked_for_before_any_work(over):
    adapter, backend = over(Records(), "required")
    with pytest.raises(ConsentRefused, match="only with a statement") as caught:
        await backend.send(Call(CLONE, AT_ONCE))
    assert "--consent" in caught.value.hint
    assert adapter.calls == []


async def test_listeners_hear_of_a_refusal_and_the_log_names_no_voice(scripted, heard, caplog):
    records, observer = Records(passing=1), Observer(backend=lambda: "robot", tell=heard.append)
    check = ConsentCheck(lambda: records, lambda: "warned")
    backend = Pipeline(Dispatcher(scripted("robot"), "robot"), observer, check)
    with pytest.raises(ConsentRefused):
        await backend.send(Call(CLONE, STORED))
    assert [event.outcome for event in heard.of(RequestFinished)] == ["ConsentRefused"]
    assert f"consent.refused consent={MIA.id}" in caplog.text
    assert "Mia" not in caplog.text


async def test_adapters_that_prepare_recordings_forget_one_when_told(scripted):
    robot, plain, forgotten = scripted("robot"), scripted("plain"), []
    robot.forget = forgotten.append
    shared = SharedBackends()
    for adapter in (robot, plain):
        shared.lease(adapter.name, lambda adapter=adapter: Dispatcher(adapter, adapter.name))
    shared.forget("5e" * 32)
    assert forgotten == ["5e" * 32]
