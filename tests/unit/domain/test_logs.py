from __future__ import annotations

import json
import logging
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storycore_tts.domain.logs import log_event

PAIR = re.compile(r' (\w+)=("(?:[^"\\]|\\.)*"|[^ ]+)')


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record)


def logged(event: str, level: int = logging.INFO, /, **fields: object) -> list[logging.LogRecord]:
    logger = logging.Logger("test", logging.INFO)
    records = Records()
    logger.addHandler(records)
    log_event(logger, level, event, **fields)
    return records.all


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
@example(fields={"logger": "1", "level": "2", "event": "3", "self": "4"})
def test_any_values_give_one_line_that_can_be_read_back(fields):
    (record,) = logged("job.submitted", **fields)
    line = record.getMessage()
    assert line.splitlines() == [line]
    assert line.isprintable()
    line.encode("utf-8")  # a log file takes it
    assert read(line) == ("job.submitted", {name: str(value) for name, value in fields.items()})
    assert (record.event, record.fields) == ("job.submitted", fields)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("comfyui", "comfyui"),
        ("Ono_Anna/ü", "Ono_Anna/ü"),
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        (1.23456, "1.235"),
        (7, "7"),
        (True, "True"),
    ],
)
def test_how_values_are_shown(value, shown):
    (record,) = logged("job.submitted", value=value)
    assert record.getMessage() == f"job.submitted value={shown}"


def test_none_is_left_out_and_zero_is_not():
    (record,) = logged("job.submitted", a=None, b=0, c=False)
    assert record.getMessage() == "job.submitted b=0 c=False"
    assert record.fields == {"b": 0, "c": False}


def test_percent_signs_are_no_format():
    (record,) = logged("job.submitted", path="100%s")
    assert record.getMessage() == "job.submitted path=100%s"


def test_below_the_level_nothing_is_made():
    class Shy:
        def __str__(self) -> str:
            raise AssertionError("nobody asked")

    assert logged("job.submitted", logging.DEBUG, value=Shy()) == []
