"""Which voice fits a character."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.draft.voices import SPEAKERS
from storycore_tts.domain.casting import Character, fitting, gender_of_character
from storycore_tts.domain.voices import Speaker, described, gender_of

NINE = [described(name) for name in SPEAKERS]
WOMEN = {name for name in SPEAKERS if gender_of(name) == "female"}
characters = st.lists(
    st.builds(
        Character,
        st.integers(0, 10**9).map("char_{}".format),  # not a first name, which tells a gender
        gender=st.sampled_from(["female", "male", ""]),
        age=st.sampled_from(["", "child", "67", "adult"]),
        description=st.sampled_from(["", "deep and commanding", "warm and wise"]),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda one: one.id,
)


def cast(people):
    given_to, used = {}, {}
    for one in people:
        given_to[one] = fitting(one, NINE, used=used).name
        used[given_to[one]] = used.get(given_to[one], 0) + 1
    return given_to


@settings(max_examples=60)
@given(people=characters)
def test_voices_differ_while_one_that_fits_is_free_and_are_the_same_again(people):
    taken = set()
    for one, voice in cast(people).items():
        could = {s for s in SPEAKERS if not one.gender or gender_of(s) == one.gender}
        assert voice in could
        assert voice not in taken or could <= taken
        taken.add(voice)
    assert cast(people) == cast(list(people))


@settings(max_examples=60)
@given(people=characters, turn=st.randoms(use_true_random=False))
def test_the_order_in_which_a_backend_lists_its_voices_decides_nothing(people, turn):
    listed = list(NINE)
    turn.shuffle(listed)
    assert [fitting(one, NINE) for one in people] == [fitting(one, listed) for one in people]


@pytest.mark.parametrize(
    ("known", "voice"),
    [
        ({"gender": "male", "description": "deep and commanding"}, "Uncle_fu"),
        ({"gender": "male", "age": "71"}, "Uncle_fu"),
        ({"gender": "female", "description": "warm and gentle"}, "Serena"),
        ({"gender": "male", "accent": "Beijing"}, "Dylan"),
        ({"gender": "male", "accent": "American"}, "Aiden"),
        ({"gender": "female", "language": "Korean"}, "Sohee"),
        ({"gender": "female", "age": "child"}, "Vivian"),
        ({"gender": "male", "description": "raspy, lively"}, "Eric"),
    ],
)
def test_what_is_known_decides(known, voice):
    assert fitting(Character("char_001", **known), NINE).name == voice


def test_those_of_one_scene_differ_even_where_the_project_has_more_characters_than_voices():
    used = dict.fromkeys(SPEAKERS, 1) | {"Serena": 5}
    near = WOMEN - {"Serena"}
    assert fitting(Character("x", gender="female"), NINE, used=used, near=near).name == "Serena"


def test_a_backend_without_a_voice_of_that_gender_speaks_all_the_same():
    assert fitting(Character("x", gender="male"), [Speaker("Zoe")]).name == "Zoe"


def test_a_gender_is_guessed_from_pronouns_and_then_from_a_first_name():
    assert gender_of_character("A detective. She trusts her father, and he knows.") == "female"
    assert gender_of_character("Une vieille femme.") == "female"
    assert gender_of_character("A king who lost his crown.", "Marie") == "male"
    assert gender_of_character("", "Marie") == "female"
    assert gender_of_character("", "Bob M.") == ""
    assert gender_of_character("", "char_f_001") == ""
