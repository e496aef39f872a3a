"""Markdown, tags and emoji: left out on request, and named otherwise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.markup import markup_warnings, without_markup
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.errors import InvalidRequest


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("**Bold**, *soft*, __both__, ~~gone~~ and `code`.", "Bold, soft, both, gone and code."),
        ("Well [laugh], yes. [sigh] No.", "Well, yes. No."),
        ('One<break time="1s"/>two <b>three</b>.', "One two three."),
        ("See [the page](https://a.example/b) now.", "See the page now."),
        ("![A cat](cat.png)", "A cat"),
        ("# Title\n> * quoted\n---\n* item\n```py\nx\n```", "Title\nquoted\n\nitem\n\nx"),
        ("Tom &amp; Jerry&#33; &lt;b&gt;Hi", "Tom & Jerry! Hi"),
        ("Hi 🙂 you 👩\u200d🚀!", "Hi you !"),
        ("<|im_end|>Hello", "Hello"),
        ("[\u200blaugh] H\u200bi", "Hi"),
    ],
)
def test_markup_is_left_out_on_request_and_its_words_stay(written, spoken):
    assert SpeechRequest(written, "Ryan", strip_markup=True).text == spoken


@pytest.mark.parametrize(
    "text",
    [
        "3 * 4 = 12, 3*4, snake_case, f(x_1)",
        "a < b and c > d; x<y and y>z; I <3 you",
        "- Bonjour ! Ça va ?",
        "https://a.example/b, me@a.example, #1, AT&T; 50 % & more",
        "“Quoted”  twice (aside).",
    ],
)
def test_what_is_no_markup_stays_as_it_is(text):
    assert without_markup(text) == text
    assert markup_warnings(text) == ()


def test_a_warning_names_what_may_be_read_aloud():
    (warning,) = markup_warnings("**Run** [laugh] <break/> now [laugh], `x` 🙂")
    assert warning == (
        "the voice may read “<break/>”, “[laugh]”, “**”, “`” and 1 more aloud; "
        "strip_markup (--strip-markup) removes it"
    )
    assert "“[" + "x" * 28 + "…”" in markup_warnings(f"[{'x' * 60}]")[0]


def test_nothing_but_markup_is_nothing_to_say():
    with pytest.raises(InvalidRequest, match="nothing to speak"):
        SpeechRequest("[laugh] **", "Ryan", strip_markup=True)


@settings(max_examples=60)
@given(st.text(st.sampled_from("ab1 *_~`#>[](){}<>/!&;=\"'-\n🙂"), max_size=60))
def test_words_and_numbers_outside_of_brackets_are_never_lost(text):
    plain = without_markup(text)
    assert len(plain) <= len(text)
    if not set("[<&`~") & set(text):
        assert [c for c in plain if c.isalnum()] == [c for c in text if c.isalnum()]
    if not markup_warnings(text):
        assert plain == text


@pytest.mark.parametrize(
    "piece", ["*a ", "[", "<a ", "<a x=", " ", "&a", "![", "[a](", "<!--", "> "]
)
def test_long_nonsense_takes_no_long(piece):
    without_markup(piece * 20_000)  # a pattern that is not linear would take minutes here
