from __future__ import annotations

import json
import logging
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from storycore_tts.domain.logs import log_event

PAIR = re.compile(r' (\w+)=("(?:[^"\\]|\\.)*"|[^ ]+)')


def logged(event: str, level: int = logging.INFO, /, **fields: object) -> list[logging.LogRecord]:
    logger, handler = logging.Logger("test", logging.INFO), logging.Handler()
    records: list[logging.LogRecord] = []
    handler.emit = records.append
    logger.addHandler(handler)
    log_event(logger, level, event, **fields)
    return records


def read(line: str) -> tuple[str, dict[str, str]]:
    """Read a line back, as a program would that knows the form only."""
    event = line.partition(" ")[0]
    rest = line[len(event) :]
    assert "".join(f" {name}={value}" for name, value in PAIR.findall(rest)) == rest
    pairs = PAIR.findall(rest)
    return event, {k: json.loads(v) if v.startswith('"') else v for k, v in pairs}


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # halves of surrogate pairs, too
VALUES = ANY_TEXT | st.integers() | st.booleans() | st.binary() | st.lists(ANY_TEXT)
NAMES = st.from_regex(r"[a-z][a-z_]*", fullmatch=True)


@settings(max_examples=40)
@given(fields=st.dictionaries(NAMES, VALUES))
@example(fields={"a": "x\x85y\u2028z\x1c\r\n"})
@example(fields={"a": "half \ud800", "b": "\udfff", "c": "\x9b31m", "d": "", "e": '"', "f": "\\"})
@example(fields={"path": "100%s"})
@example(fields={"logger": "1", "level": "2", "event": "3", "self": "4"})
def test_any_values_give_one_line_that_can_be_read_back(fields):
    (record,) = logged("job.submitted", **fields)
    line = record.getMessage()
    assert line.splitlines() == [line]
    assert line.isprintable()
    line.encode("utf-8")  # a log file takes it
    assert read(line) == ("job.submitted", {name: str(value) for name, value in fields.items()})
    assert (record.event, record.fields) == ("job.submitted", fields)


def test_how_values_are_shown_and_that_none_is_left_out():
    fields = {"a": "Ono_Anna/ü", "b": "two words", "c": "", "d": "a=b", "e": 'say "hi"'}
    (record,) = logged("job.submitted", **fields, f=1.23456, g=7, h=True, i=None, j=0, k=False)
    assert record.getMessage() == (
        r'job.submitted a=Ono_Anna/ü b="two words" c="" d="a=b" e="say \"hi\""'
        " f=1.235 g=7 h=True j=0 k=False"
    )
    assert record.fields == {**fields, "f": 1.23456, "g": 7, "h": True, "j": 0, "k": False}


def test_below_the_level_nothing_is_made():
    class Shy:
        def __str__(self) -> str:
            raise AssertionError("nobody asked")

    assert logged("job.submitted", logging.DEBUG, value=Shy()) == []
