from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts import (
    AttemptFailed,
    AvailabilityChanged,
    BackendTimeout,
    BackendUnavailable,
    Event,
    EventLog,
    FellBack,
    RequestFinished,
    RunawayGeneration,
    TTSError,
)

REASON = 'reason="ComfyUI at 127.0.0.1:8188 refused the connection."'
ERROR = f"error=BackendUnavailable {REASON}"
MARKER = "my-diary"


def records_of(*events: Event, level: int = logging.DEBUG) -> list[logging.LogRecord]:
    logger, handler = logging.Logger("storycore_tts.events", level), logging.Handler()
    records: list[logging.LogRecord] = []
    handler.emit = records.append
    logger.addHandler(handler)
    for event in events:
        EventLog(logger)(event)
    return records


def lines_of(*events: Event, level: int = logging.DEBUG) -> list[str]:
    records = records_of(*events, level=level)
    return [f"{record.levelname} {record.getMessage()}" for record in records]


SAY = "operation=synthesize backend=comfyui"
FINISHED = f"INFO request.finished {SAY} request=7 outcome="


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("started", f"DEBUG request.started {SAY} request=7"),
        ("finished", f"{FINISHED}ok seconds=3.500 audio_seconds=2.000 job=4f2a"),
        ("refused", f"{FINISHED}BackendUnavailable seconds=0.000 {REASON}"),
        ("cancelled", f"{FINISHED}cancelled seconds=1.000"),
        ("tried", f"WARNING attempt.failed {SAY} attempt=1 pause=0.250 {ERROR}"),
        ("fell_back", f"WARNING backend.fallback {SAY} to=draft {ERROR}"),
        ("down", f"WARNING backend.unavailable backend=comfyui {ERROR}"),
        ("back", "INFO backend.available backend=comfyui"),
        ("routed", f"DEBUG request.routed {SAY} share=0.250"),
        ("reloaded", "INFO settings.reloaded backend=direct"),
    ],
)
def test_an_event_is_one_line(events, name, line):
    assert lines_of(Event("", "comfyui"), getattr(events, name)) == [line]  # and unknown ones none


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("failed", f"{FINISHED}GenerationFailed seconds=1.000"),
        ("given_up", f"INFO attempt.failed {SAY} attempt=3 error=GenerationFailed"),
    ],
)
def test_what_an_error_says_is_a_line_of_its_own_at_debug(events, name, line):
    said = f"DEBUG error.message {SAY} error=GenerationFailed message=\"It choked on 'My diary'.\""
    event = getattr(events, name)
    assert lines_of(event) == [line, said]
    assert lines_of(event, level=logging.INFO) == [line]


def test_a_handler_of_json_finds_the_fields(events):
    (record,) = records_of(events.finished)
    assert record.event == "request.finished"
    asked = {"operation": "synthesize", "backend": "comfyui", "request": 7}
    assert record.fields == {
        **asked,
        "outcome": "ok",
        "seconds": 3.5,
        "audio_seconds": 2.0,
        "job": "4f2a",
    }


def test_the_logger_is_found_by_name(events, caplog):
    caplog.set_level(logging.INFO, "storycore_tts.events")
    EventLog()(events.reloaded)
    assert [record.name for record in caplog.records] == ["storycore_tts.events"]


def make(kind: type[TTSError], message: str, hint: str | None) -> TTSError:
    needed = {BackendTimeout: {"wait": "job", "seconds": 1.0}}
    needed[RunawayGeneration] = {"partial_duration": 1.0}
    return kind(message, hint=hint, **needed.get(kind, {}))


def family(kind: type[TTSError]) -> set[type[TTSError]]:
    ours = [sub for sub in kind.__subclasses__() if sub.__module__.startswith("storycore_tts.")]
    return {kind}.union(*map(family, ours))


DISCREET = sorted(family(TTSError) - family(BackendUnavailable), key=lambda kind: kind.__name__)
assert len(DISCREET) >= 15


@st.composite
def telling_events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(DISCREET))
    around = st.text(max_size=20)
    message = draw(around) + MARKER + draw(around)
    error: BaseException = make(kind, message, draw(st.none() | st.just(message)))
    other = draw(st.sampled_from([None, ValueError, asyncio.CancelledError]))
    name = type(error).__name__
    pause = draw(st.none() | st.floats(0, 60))
    return draw(
        st.sampled_from(
            [
                RequestFinished("clone", "draft", 1, name, 1.0, error),
                RequestFinished("clone", "draft", 1, "Other", 1.0, other and other(message)),
                AttemptFailed("clone", "draft", 1, error, pause),
                AvailabilityChanged("", "draft", available=False, error=error),
                # Not of the declared type, and still not quoted.
                FellBack("clone", "draft", "direct", error),
            ]
        )
    )


@settings(max_examples=50)
@given(event=telling_events())
def test_no_words_of_users_from_info_up(event):
    for record in records_of(event):
        if record.levelno > logging.DEBUG:
            assert MARKER not in record.getMessage()
            assert MARKER not in repr(vars(record))
