"""Who speaks for the voice ids of other services."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts import QwenTTSConfig
from storycore_tts.domain.languages import LANGUAGES
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.voice_ids import VoiceChoice, voice_choice
from storycore_tts.domain.voices import built_in_speaker, gender_of, is_built_in
from storycore_tts.errors import InvalidRequest, UnsupportedLanguage

NAMES = [
    "vivian", "serena", "uncle_fu", "dylan", "eric", "ryan", "aiden", "ono_anna", "sohee",
]  # fmt: skip
locales = st.builds(
    "{}{}{}".format,
    st.sampled_from(sorted(LANGUAGES.values())),
    st.sampled_from("-_"),
    st.sampled_from(["FR", "us", "Br", "CN", "XX"]),
)
someone = st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=20)


def choose(voice_id, mapped=None, default="Ryan"):
    return voice_choice(voice_id, mapped or {}, default_speaker=default)


@pytest.mark.parametrize(
    ("voice_id", "speaker", "language"),
    [
        ("fr-FR-Henri", "Ryan", "French"),
        ("fr-FR-VivienneMultilingualNeural", "Serena", "French"),
        ("en-GB-SoniaNeural", "Serena", "English"),
        ("ja_JP_NanamiNeural", "Ono_Anna", "Japanese"),
        ("ko-KR-female-2", "Sohee", "Korean"),
        ("de-DE-Standard-M", "Ryan", "German"),
        ("it-IT", "Ryan", "Italian"),
        ("pt-BR-Somebody", "Ryan", "Portuguese"),
        ("Ryan", "Ryan", None),
        ("uncle fu", "uncle fu", None),
        ("mara", "mara", None),
        ("male", "Ryan", None),
        ("Female", "Serena", None),
        ("narrator", "Ryan", None),
        ("qwen-female-1", "Serena", None),
        ("qwen-fr-fr", "Ryan", "French"),
        ("char_001", "char_001", None),
        ("female lead", "female lead", None),
    ],
)
def test_what_an_id_says_decides(voice_id, speaker, language):
    assert choose(voice_id) == VoiceChoice(speaker, language)


def test_the_configured_speaker_stays_where_it_fits():
    assert choose("fr-FR-Denise", default="Vivian").speaker == "Vivian"
    assert choose("fr-FR-Henri", default="Vivian").speaker == "Ryan"
    assert choose("fr-FR-Henri", default="mara").speaker == "Ryan"
    assert choose("fr-FR", default="mara").speaker == "mara"


def test_a_locale_that_nobody_speaks_is_refused():
    with pytest.raises(UnsupportedLanguage, match="ar"):
        choose("ar-EG-Salma")


def test_the_engines_own_voices_are_mapped_to_the_nine_and_keep_language_and_gender():
    women = {"fr-FR-Denise", "en-US-Jenny"}
    voices = {name: v for name, v in QwenTTSConfig().voice_map.items() if v.language}
    assert set(voices) == {
        "fr-FR-Denise", "fr-FR-Thierry", "en-US-Guy", "en-US-Jenny", "es-ES-Alvaro",
        "de-DE-Conrad",
    }  # fmt: skip
    for name, voice in voices.items():
        assert is_built_in(voice.speaker)
        assert gender_of(voice.speaker) == ("female" if name in women else "male")
        assert LANGUAGES[voice.language] == name[:2]
    assert len({voice.speaker for voice in voices.values()}) == len(voices)


def test_the_eight_voices_of_the_engines_page_keep_language_and_gender():
    men = {"fr-FR-Henri", "en-US-Ryan"}
    mapped = {
        name: VoiceChoice(v.speaker, v.language) for name, v in QwenTTSConfig().voice_map.items()
    }
    for name in (
        "fr-FR-Denise", "fr-FR-Henri", "en-US-Jenny", "en-US-Ryan", "en-GB-Amelia", "de-DE-Katja",
        "es-ES-Elvira", "it-IT-Elsa",
    ):  # fmt: skip
        voice = choose(name, mapped)
        assert LANGUAGES[voice.language] == name[:2]
        assert gender_of(voice.speaker) == ("male" if name in men else "female")


def test_each_built_in_voice_is_a_womans_or_a_mans_and_each_language_has_both():
    assert {gender_of(name) for name in NAMES} == {"female", "male"}
    for language in LANGUAGES:
        for gender in ("female", "male"):
            assert gender_of(built_in_speaker(gender, language)) == gender


@settings(max_examples=40)
@given(locale=locales, name=someone, default=st.sampled_from(NAMES))
def test_a_locale_that_is_spoken_always_has_a_voice_that_can_be_asked(locale, name, default):
    choice = choose(f"{locale}-{name}" if name else locale, default=default)
    if "\n" in name or not name.strip():
        return
    assert choice.language is not None
    assert LANGUAGES[choice.language] == locale[:2]
    assert is_built_in(choice.speaker)
    SpeechRequest("Hello.", choice.speaker, language=choice.language)


@settings(max_examples=40)
@given(voice_id=st.text(max_size=30), default=st.sampled_from(NAMES))
def test_any_text_is_a_choice_or_a_typed_error(voice_id, default):
    try:
        choice = choose(voice_id, default=default)
    except InvalidRequest:
        return
    assert choice.language is None or choice.language in LANGUAGES
    assert choice.language is not None or choice.speaker == voice_id.strip()


@settings(max_examples=40)
@given(voice_id=someone.filter(str.strip), upper=st.booleans())
def test_what_is_mapped_goes_before_everything(voice_id, upper):
    wanted = VoiceChoice("Sohee", "Korean")
    other_case = voice_id.upper()
    same = other_case.casefold() == voice_id.casefold()
    asked = other_case if upper and same else voice_id
    assert choose(asked, {voice_id.strip(): wanted}) == wanted
