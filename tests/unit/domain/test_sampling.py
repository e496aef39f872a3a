"""Ranges of numbers, and how the model draws its tokens."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storycore_tts.domain.sampling import MAX_SEED, Sampling
from storycore_tts.errors import InvalidRequest, check_range

RANGES = {
    "max_new_tokens": (1, 8192, True),
    "top_p": (0, 1, False),
    "top_k": (0, 1000, True),
    "temperature": (0.01, 5, False),
    "repetition_penalty": (0.5, 5, False),
    "seed": (0, MAX_SEED, True),
    "subtalker_top_p": (0, 1, False),
    "subtalker_top_k": (0, 1000, True),
    "subtalker_temperature": (0.01, 5, False),
}
anything = st.one_of(
    st.floats(), st.integers(), st.booleans(), st.none(), st.text(), st.complex_numbers()
)


@pytest.mark.parametrize(("name", "limits"), RANGES.items())
def test_both_ends_of_a_range_are_in_it_and_beyond_is_refused_with_the_range(name, limits):
    low, high, whole = limits
    step = 1 if whole else 0.001
    for value in (low, high):
        assert getattr(Sampling(**{name: value}), name) == value
    for value in (low - step, high + step):
        with pytest.raises(InvalidRequest) as caught:
            Sampling(**{name: value})
        assert caught.value.message.startswith(f"{name} is {value}")
        assert f"from {low} to {high}" in caught.value.message


NO_NUMBERS = (True, False, "1", b"1", [], 1j, math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("name", RANGES)
def test_what_is_no_number_is_refused_everywhere_in_few_words(name):
    for value in (*NO_NUMBERS, 10**400, 10**5000, *([] if name == "seed" else [None])):
        with pytest.raises(InvalidRequest, match=name) as caught:
            Sampling(**{name: value})
        assert len(str(caught.value)) < 300
    if RANGES[name][2]:
        with pytest.raises(InvalidRequest, match=r"must be a whole number, not 1\.0"):
            Sampling(**{name: 1.0})


@settings(max_examples=40)
@given(st.sampled_from(sorted(RANGES)), anything)
@example("seed", MAX_SEED)
def test_a_value_is_kept_or_refused(name, value):
    low, high, whole = RANGES[name]
    kinds = (int,) if whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
    if fits or (name == "seed" and value is None):
        assert getattr(Sampling(**{name: value}), name) is value
    else:
        with pytest.raises(InvalidRequest, match=name):
            Sampling(**{name: value})


@settings(max_examples=40)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats())
def test_check_range_lets_through_exactly_what_lies_between(low, high, value):
    if low <= value <= high:
        check_range("x", value, low, high)
    else:
        with pytest.raises(InvalidRequest, match=r"^x is "):
            check_range("x", value, low, high)
