"""What can be spoken, how long it takes, and what it may cost."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.text import reading_seconds, speakable, token_budget
from storycore_tts.errors import InvalidRequest

LIMIT = 8192
SPOKEN = {"Ll", "Lm", "Lo", "Lt", "Lu", "Nd", "Nl", "No"}
REFUSED = {"Cc", "Cf", "Cn", "Co", "Cs", "Mc", "Me", "Mn", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps"}
REFUSED |= {"Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"}
# What is invisible and needed: marks that Arabic and its kin write before a number, and joiners.
MEANT = set(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\u200c\u200d"
)


def one_of_each_category():
    found = {}
    for code in range(sys.maxunicode + 1):
        found.setdefault(unicodedata.category(chr(code)), chr(code))
    return found


EXAMPLES = one_of_each_category()


def test_every_unicode_category_is_judged():
    assert set(EXAMPLES) == SPOKEN | REFUSED


def test_letters_and_digits_can_be_spoken_and_nothing_else_alone():
    assert {c for c in SPOKEN if speakable(EXAMPLES[c]) == EXAMPLES[c]} == SPOKEN
    for category in REFUSED:
        with pytest.raises(InvalidRequest):
            speakable(EXAMPLES[category] * 3)
    for category in (SPOKEN | REFUSED) - {"Cs"}:  # and none spoils a sentence
        assert speakable(f"Ten{EXAMPLES[category]}two.").startswith("Te"), category


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("  Hello.\n", "Hello."),
        ("One\x00two\x07three\x1b[0m", "One two three [0m"),
        ("One\ntwo\tthree", "One\ntwo\tthree"),
        ("One\r\ntwo", "One \ntwo"),
        ("One\x7ftwo\x85three", "One two three"),
        ("\x00Hello\x00", "Hello"),
        ("One\u2028two", "One\ntwo"),
        ("in\u00advi\u200bsi\ufeffble\u2060", "invisible"),
        ("\u202eright\u202c to \u2066left\u2069\u200f", "right to left"),
        ("cafe\u0301", "caf\u00e9"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("One\u200dtwo\u200c", "Onetwo"),
        ("Hi 👍🏽 ❤\ufe0f", "Hi 👍🏽 ❤"),
    ],
)
def test_what_cannot_be_seen_is_taken_out_where_no_script_needs_it(given, sent):
    assert speakable(given) == sent


def test_nothing_to_say_is_refused_with_advice():
    for text in (
        "",
        " ",
        "\n\t",
        "...",
        "—!?",
        "\x00\x01",
        "\u200b",
        "\u0301",
        "***",
        "🙂",
        "\u3164",
        "+ €",
    ):
        with pytest.raises(InvalidRequest, match="no letters and no digits") as caught:
            speakable(text, what="test_text")
        assert "The test_text" in caught.value.message
        assert caught.value.hint == "Pass at least one word."


def test_half_a_surrogate_pair_and_what_is_no_string_are_refused():
    for text in ("\ud800", "Hello \udfff there", "\ude00\ud83d"):
        with pytest.raises(InvalidRequest, match="lone surrogate") as caught:
            speakable(text)
        str(caught.value).encode()  # the message itself can be printed anywhere
    for value in (None, 5, b"Hello", ["Hello"]):
        with pytest.raises(InvalidRequest, match=f"be a string, not {type(value).__name__}"):
            speakable(value)


def test_a_hundred_thousand_characters_are_cleaned_but_do_not_fit():
    text = "word " * 20_000
    assert len(speakable(text)) == 99_999
    with pytest.raises(InvalidRequest, match=r"99999|100000") as caught:
        token_budget(text, limit=LIMIT)
    assert "Split the text into sentences" in caught.value.hint


@settings(max_examples=60)
@given(
    st.text(st.characters() | st.sampled_from("a ی\u200b\u200c\u200d\u0301\u00ad\ufeff\U000e0041"))
)
def test_what_is_spoken_is_clean_and_cleaning_it_again_changes_nothing(text):
    try:
        clean = speakable(text)
    except InvalidRequest:
        return
    assert clean == clean.strip() != ""
    assert not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in clean)
    assert not any(unicodedata.category(c) == "Cf" and c not in MEANT for c in clean)
    assert speakable(clean) == clean
    clean.encode()


@settings(max_examples=40)
@given(st.text(max_size=50), st.text(max_size=50))
def test_more_text_never_takes_less_time(text, more):
    assert reading_seconds(text + more) >= reading_seconds(text) >= 0


def test_reading_takes_longer_where_a_character_is_a_syllable_and_the_budget_is_four_times_that():
    for text, seconds in (("a" * 15, 1), ("你" * 9, 2), ("か" * 9, 2), ("한" * 9, 2), ("", 0)):
        assert reading_seconds(text) == pytest.approx(seconds)
    for letters, budget in ((1, 512), (153, 512), (154, 768), (230, 768), (300, 1024)):
        assert token_budget("a" * letters, limit=LIMIT) == budget


@settings(max_examples=40)
@given(st.integers(1, 6000), st.integers(1, 6000), st.sampled_from("a你"))
def test_the_budget_grows_with_the_text_in_steps_of_256(shorter, longer, letter):
    shorter, longer = sorted([shorter, longer])
    try:
        budgets = [token_budget(letter * n, limit=LIMIT) for n in (shorter, longer)]
    except InvalidRequest:
        return
    assert 512 <= budgets[0] <= budgets[1] <= LIMIT
    assert all(budget % 256 == 0 for budget in budgets)


@settings(max_examples=40)
@given(st.integers(1, 500), st.integers(1, LIMIT))
def test_the_budget_keeps_to_the_limit_and_is_enough_for_the_text(length, limit):
    text = "a" * length
    fastest = reading_seconds(text) / 2 * 12.5
    if fastest > limit:
        with pytest.raises(InvalidRequest, match=f"max_new_tokens={limit} "):
            token_budget(text, limit=limit)
    else:
        budget = token_budget(text, limit=limit)
        assert fastest <= budget <= limit
        assert budget == limit or budget >= 8 * fastest - 1


def test_the_longest_text_that_fits_is_the_fastest_reading_of_the_limit():
    longest = 2 * 15 * 2048 * 2 // 25  # 2x the pace, 15 letters a second, 12.5 tokens a second
    assert token_budget("a" * longest, limit=2048) == 2048
    with pytest.raises(InvalidRequest, match=r"max_new_tokens=2048 allows only 164 s"):
        token_budget("a" * (longest + 1), limit=2048)
