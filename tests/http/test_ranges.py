"""Which part of a file a Range header asks for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.domain.jobs import StoredAudio
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.entrypoints.http.ranges import ranged

DATA = bytes(range(100))
STORED = StoredAudio(DATA, "audio/wav", "abc")


def asked(wanted, *, if_none_match=None):
    return ranged(STORED, wanted, if_range=None, if_none_match=if_none_match)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-9", DATA[:10]),
        ("bytes=90-", DATA[90:]),
        ("bytes=-5", DATA[-5:]),
        ("bytes=-500", DATA),
        ("bytes=99-999999", DATA[99:]),
        ("bytes = 10 - 19", DATA[10:20]),
    ],
)
def test_a_part_is_answered_with_206(wanted, part):
    answer = asked(wanted)
    assert answer.status_code == 206
    assert answer.body == part
    start, end = map(int, re.findall(r"\d+", answer.headers["content-range"])[:2])
    assert DATA[start : end + 1] == part
    assert answer.headers["content-range"].endswith("/100")


@pytest.mark.parametrize(
    "wanted", [None, "", "bytes=-", "bytes=9-5", "bytes=a-b", "bytes=0-1,3-4", "lines=1-2"]
)
def test_what_is_no_single_range_gets_the_whole(wanted):
    answer = asked(wanted)
    assert answer.status_code == 200
    assert answer.body == DATA
    assert answer.headers["etag"] == '"abc"'


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(wanted):
    with pytest.raises(Refused) as refused:
        asked(wanted)
    assert refused.value.status == 416
    assert refused.value.headers["Content-Range"] == "bytes */100"


@pytest.mark.parametrize("tags", ['"abc"', 'W/"abc"', '"x", "abc"', "*"])
def test_what_the_client_has_is_not_sent_again(tags):
    answer = asked(None, if_none_match=tags)
    assert (answer.status_code, answer.body) == (304, b"")


@given(st.text(max_size=60) | st.from_regex(r"bytes=\d{0,30}-\d{0,30}(,\d*-\d*)*", fullmatch=True))
def test_no_header_breaks_it(wanted):
    try:
        answer = asked(wanted)
    except Refused as refused:
        assert refused.status == 416
    else:
        assert answer.body in DATA
