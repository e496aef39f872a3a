"""The text of a cast.yaml."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.cast_file import read_cast, written
from storycore_tts.domain.casting import Cast, CastVoice, Role
from storycore_tts.domain.stored_voices import name_key
from storycore_tts.errors import ConfigurationError

CAST = """\
# ours
STEEL: {voice: Ryan, instruct: "gravelly, tired", aliases: [DICK STEEL, char_001]}
MIA:
  voice: Mia
  checkpoint: /models/mia
  language: fr
1: Sohee
"""
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=9)


def test_entries_are_found_by_name_and_alias_in_any_case():
    cast = read_cast(CAST, "cast.yaml")
    assert cast.find("dick_steel").voice == CastVoice("Ryan", instruct="gravelly, tired")
    assert cast.find("mia").voice == CastVoice("Mia", "/models/mia", "French")
    assert cast.find("1").voice == CastVoice("Sohee")
    assert cast.find("Nobody") is None


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "~"])
def test_an_empty_file_is_an_empty_cast(text):
    assert read_cast(text, "cast.yaml").roles == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "A: Ryan\nB: {voice: Ryan, langage: fr}",
            "line 2: B.langage is not a valid key.*'language'",
        ),
        ("A: Ryan\nB: {voice: Ryan, gain_db: 3}", "line 2: B.gain_db is not a valid key"),
        ("A:\n  instruct: sad", "line 2: A has no voice"),
        ("A:", "line 1: A.voice must be"),
        ("A: [Ryan]", "line 1: A must be a voice"),
        ("A:\n  voice:\n    clone: Mia", "line 3: A.voice must be a non-empty string"),
        (
            "A: {voice: Ryan, language: Klingon}",
            r"line 1: A.language is invalid: .*Klingon.*[^.]\.$",
        ),
        ("A: {voice: Ryan, aliases: B}", "line 1: A.aliases must be a list"),
        ("A: {voice: Ryan, voice: Eric}", "line 1: A.voice is defined twice"),
        ("A: Ryan\nA: Eric", "line 2: A is defined twice"),
        ("A: Ryan\na: Eric", "line 2: a has the name 'a', as has 'A'"),
        (
            "A: {voice: Ryan, aliases: [X]}\nB: {voice: Eric, aliases: [x]}",
            "line 2: B has the name",
        ),
        ("- A", "line 1: must be a mapping"),
        ("A: Ryan\n\tB: x", "line 2 is not valid YAML"),
        ("[" * 5000, "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(text, said):
    with pytest.raises(ConfigurationError, match=f"^cast.yaml.*{said}"):
        read_cast(text, "cast.yaml")


@settings(max_examples=80)
@given(
    said=st.lists(
        st.tuples(names, names, st.lists(names, max_size=2), st.sampled_from([None, "French"])),
        max_size=5,
    ),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read_again(said, newline):
    seen, roles = set(), []
    for name, voice, aliases, language in said:
        keys = [name_key(one) for one in (name, *aliases)]
        if not seen & set(keys) and len(set(keys)) == len(keys):
            roles.append(Role(name, CastVoice(voice, language=language), tuple(aliases)))
            seen |= set(keys)
    assert read_cast(written(roles, newline=newline), "cast.yaml").roles == Cast(roles).roles
