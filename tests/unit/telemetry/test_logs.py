from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

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
MARKER = "my-diary"


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record)

    @property
    def lines(self) -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in self.all]


def records_of(*events: Event, level: int = logging.DEBUG) -> Records:
    logger = logging.Logger("storycore_tts.events", level)
    records = Records()
    logger.addHandler(records)
    listener = EventLog(logger)
    for event in events:
        listener(event)
    return records


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("started", "DEBUG request.started operation=synthesize backend=comfyui request=7"),
        (
            "finished",
            "INFO request.finished operation=synthesize backend=comfyui request=7 outcome=ok"
            " seconds=3.500 audio_seconds=2.000 job=4f2a",
        ),
        (
            "refused",
            "INFO request.finished operation=synthesize backend=comfyui request=7"
            f" outcome=BackendUnavailable seconds=0.000 {REASON}",
        ),
        (
            "cancelled",
            "INFO request.finished operation=synthesize backend=comfyui request=7"
            " outcome=cancelled seconds=1.000",
        ),
        (
            "tried",
            "WARNING attempt.failed operation=synthesize backend=comfyui attempt=1 pause=0.250"
            f" error=BackendUnavailable {REASON}",
        ),
        (
            "fell_back",
            "WARNING backend.fallback operation=synthesize backend=comfyui to=draft"
            f" error=BackendUnavailable {REASON}",
        ),
        (
            "down",
            f"WARNING backend.unavailable backend=comfyui error=BackendUnavailable {REASON}",
        ),
        ("back", "INFO backend.available backend=comfyui"),
        ("routed", "DEBUG request.routed operation=synthesize backend=comfyui share=0.250"),
        ("reloaded", "INFO settings.reloaded backend=direct"),
    ],
)
def test_an_event_is_one_line(events, name, line):
    assert records_of(getattr(events, name)).lines == [line]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "failed",
            "INFO request.finished operation=synthesize backend=comfyui request=7"
            " outcome=GenerationFailed seconds=1.000",
        ),
        (
            "given_up",
            "INFO attempt.failed operation=synthesize backend=comfyui attempt=3"
            " error=GenerationFailed",
        ),
    ],
)
def test_what_an_error_says_is_a_line_of_its_own_at_debug(events, name, line):
    said = (
        "DEBUG error.message operation=synthesize backend=comfyui error=GenerationFailed"
        """ message="It choked on 'My diary'." """.rstrip()
    )
    event = getattr(events, name)
    assert records_of(event).lines == [line, said]
    assert records_of(event, level=logging.INFO).lines == [line]


def test_a_handler_of_json_finds_the_fields(events):
    (record,) = records_of(events.finished).all
    assert record.event == "request.finished"
    assert record.fields == {
        "operation": "synthesize",
        "backend": "comfyui",
        "request": 7,
        "outcome": "ok",
        "seconds": 3.5,
        "audio_seconds": 2.0,
        "job": "4f2a",
    }


def test_line_ends_in_fields_are_escaped(events):
    (record,) = records_of(replace(events.finished, job_id="a\nb\u2028c=d")).all
    assert record.getMessage().endswith(r'job="a\nb\u2028c=d"')


def test_an_unknown_event_is_no_line():
    assert records_of(Event("", "comfyui")).lines == []


def test_the_logger_is_found_by_name(events, caplog):
    caplog.set_level(logging.INFO, "storycore_tts.events")
    EventLog()(events.reloaded)
    assert [record.name for record in caplog.records] == ["storycore_tts.events"]


def all_subclasses(kind: type[TTSError]) -> set[type[TTSError]]:
    own = {sub for sub in kind.__subclasses__() if sub.__module__.startswith("storycore_tts.")}
    return own.union(*(all_subclasses(sub) for sub in own))


def make(kind: type[TTSError], message: str, hint: str | None) -> TTSError:
    needed = {BackendTimeout: {"wait": "job", "seconds": 1.0}}
    needed[RunawayGeneration] = {"partial_duration": 1.0}
    return kind(message, hint=hint, **needed.get(kind, {}))


DISCREET = {TTSError, *all_subclasses(TTSError)} - {
    BackendUnavailable,
    *all_subclasses(BackendUnavailable),
}


@st.composite
def telling_events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(sorted(DISCREET, key=lambda kind: kind.__name__)))
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


def test_the_property_covers_every_discreet_error():
    assert len(DISCREET) >= 14


@settings(max_examples=50)
@given(event=telling_events())
def test_no_words_of_users_from_info_up(event):
    for record in records_of(event).all:
        if record.levelno > logging.DEBUG:
            assert MARKER not in record.getMessage()
            assert MARKER not in repr(vars(record))
