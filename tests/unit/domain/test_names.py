"""Languages and speakers, in the spellings that people use."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.languages import LANGUAGES, language_named
from storycore_tts.domain.voices import described, find_speaker
from storycore_tts.errors import UnknownSpeaker, UnsupportedLanguage, did_you_mean

SPEAKERS = ["Aiden", "Dylan", "Eric", "Ono_anna", "Ryan", "Serena", "Sohee", "Uncle_fu", "Vivian"]


def test_ten_languages_are_found_by_name_code_and_locale_in_any_case():
    assert list(LANGUAGES.values()) == ["zh", "en", "ja", "ko", "fr", "de", "es", "pt", "ru", "it"]
    assert language_named("  auto\n") == "Auto"
    for name, code in LANGUAGES.items():
        locales = (f"{code}-XX", f"{code}_XX", f"{code}-Latn-XX", f"{code}_xx.UTF-8")
        for spelling in (name, f"  {name}\n", code, *locales):
            assert language_named(spelling) == name
            assert language_named(spelling.lower()) == language_named(spelling.upper()) == name


@pytest.mark.parametrize(
    ("spelling", "suggestion"),
    [("Germn", "German"), ("englisch", "English"), ("Japan", "Japanese")],
)
def test_a_near_miss_gets_the_closest_language(spelling, suggestion):
    with pytest.raises(UnsupportedLanguage) as caught:
        language_named(spelling)
    assert f"Did you mean '{suggestion}'?" in caught.value.message
    assert repr(spelling) in caught.value.message
    assert all(name in caught.value.hint for name in [*LANGUAGES, "Auto"])


@pytest.mark.parametrize("spelling", ["", " ", "-", "_", "xx", "x-en", "e", "tlh", "\x00"])
def test_other_spellings_are_refused_without_a_guess(spelling):
    with pytest.raises(UnsupportedLanguage) as caught:
        language_named(spelling)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("spelling", [None, 5, b"en", ["English"]])
def test_a_language_that_is_no_string_is_refused(spelling):
    with pytest.raises(UnsupportedLanguage, match=f"not {type(spelling).__name__}"):
        language_named(spelling)


@settings(max_examples=40)
@given(st.text())
def test_any_text_is_a_name_or_is_refused(text):
    with suppress(UnsupportedLanguage):
        assert language_named(text) in {*LANGUAGES, "Auto"}
    with suppress(UnknownSpeaker):
        assert find_speaker(text, SPEAKERS, backend="b") in SPEAKERS


def test_a_speaker_is_found_in_any_case_with_spaces_or_underscores_as_the_backend_spells_it():
    for offered in SPEAKERS:
        spaced = offered.replace("_", " ")
        for wanted in (offered, offered.lower(), offered.upper(), spaced, f" {offered.title()} "):
            assert find_speaker(wanted, SPEAKERS, backend="comfyui") == offered
    assert find_speaker("ono_ANNA", ["Ono Anna"], backend="direct") == "Ono Anna"


def test_an_unknown_speaker_gets_the_closest_name_and_the_list():
    with pytest.raises(UnknownSpeaker) as caught:
        find_speaker("Rian", SPEAKERS, backend="comfyui")
    assert "The comfyui backend has no speaker 'Rian'" in caught.value.message
    assert "Did you mean 'Ryan'?" in caught.value.message
    assert all(name in caught.value.hint for name in SPEAKERS)
    assert caught.value.backend == "comfyui"


def test_offered_names_may_come_from_a_generator_and_may_be_none_at_all():
    assert find_speaker("eric", (name for name in SPEAKERS), backend="b") == "Eric"
    with pytest.raises(UnknownSpeaker, match="no speaker 'Eric'"):
        find_speaker("Eric", [], backend="b")


def test_the_nine_voices_are_described_each_in_its_own_words_in_whatever_spelling():
    for name in SPEAKERS:
        spelling = name.replace("_", " ").upper()
        assert described(spelling) == replace(described(name), name=spelling)
        assert described(name).language in LANGUAGES
    assert len({described(name).description for name in SPEAKERS}) == 9
    assert described("Ryan").language == "English"
    assert described("Ono_anna").language == "Japanese"
    unknown = described("Mia")  # still a voice
    assert (unknown.name, unknown.description, unknown.language) == ("Mia", "", "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("comfyiu", " Did you mean 'ComfyUI'?"),
        ("COMFYUI", " Did you mean 'ComfyUI'?"),
        ("draught", " Did you mean 'draft'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_did_you_mean_names_the_closest_or_nothing(wrong, said):
    assert did_you_mean(wrong, ["ComfyUI", "draft", "direct"]) == said
    assert did_you_mean(wrong, []) == ""
