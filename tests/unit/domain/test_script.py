"""Names and times of lines."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.domain.casting import Character
from storycore_tts.domain.script import Line, Script, placed

lengths = st.fractions(min_value=0, max_value=60, max_denominator=24_000)


@given(spoken=st.lists(st.tuples(st.sampled_from("ABC"), lengths), max_size=20))
def test_lines_follow_each_other_with_a_longer_pause_before_another_speaker(spoken):
    times = list(placed(spoken))
    assert [end - start for start, end in times] == [length for _, length in spoken]
    assert all(start == 0 for start, _ in times[:1])
    for (before, _), (after, _), (_, end), (start, _) in zip(
        spoken, spoken[1:], times, times[1:], strict=False
    ):
        assert start - end == (Fraction(1, 4) if before == after else Fraction(1, 2))


@pytest.mark.parametrize(
    ("scene", "who", "name"),
    [
        ("S02", Character("x", "Marie"), "S02_0010_MARIE"),
        ("act one/2", Character("char_001"), "ACT_ONE_2_0010_CHAR_001"),
        ("6a9b61b8-dcff-45d6-bccc-5ecd0bba2ba6", Character("x", "Élodie d'Arc"),
         "6A9B61B8_0010_ELODIE_D_ARC"),
        ("张", Character("x", "张伟"), "SCENE_0010_CHARACTER"),
    ],
)  # fmt: skip
def test_a_files_name_is_letters_digits_and_underscores(scene, who, name):
    line = Line(10, "", who, "Hi.")
    assert Script(scene, "", (line,)).file_name(line) == name
