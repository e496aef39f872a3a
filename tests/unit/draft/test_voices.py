"""Nine speakers, ten languages."""

import numpy as np
import pytest

from storycore_tts.adapters.draft.espeak import EspeakVoice, speak
from storycore_tts.adapters.draft.voices import (
    SPEAKERS,
    language_of,
    letters_not_read,
    voice_for,
)
from storycore_tts.domain.languages import LANGUAGES
from storycore_tts.sound.samples import is_silent

WOMEN = {"Vivian", "Serena", "Ono_anna", "Sohee"}
GREETINGS = {
    "Chinese": "你好，世界。",
    "English": "Hello, world.",
    "Japanese": "こんにちは、せかい。",
    "Korean": "안녕하세요.",
    "French": "Bonjour, le monde.",
    "German": "Guten Tag, Welt.",
    "Spanish": "Hola, mundo.",
    "Portuguese": "Olá, mundo.",
    "Russian": "Привет, мир.",
    "Italian": "Ciao, mondo.",
}


def pitch(samples, rate):
    """Return the median pitch of the loud parts, in Hz."""
    found = []
    for start in range(0, len(samples) - 2048, 1024):
        frame = samples[start : start + 2048] * np.hanning(2048)
        if np.abs(frame).max() < 0.1:
            continue
        similarity = np.fft.irfft(np.abs(np.fft.rfft(frame, 8192)) ** 2)
        low, high = rate // 400, rate // 60
        found.append(rate / (low + similarity[low:high].argmax()))
    return float(np.median(found))


@pytest.mark.parametrize("language", LANGUAGES)  # none may lack a greeting
def test_every_speaker_is_audible_and_like_no_other(language):
    takes = {
        name: speak(GREETINGS[language], voice_for(name, language))[0].tobytes()
        for name in SPEAKERS
    }
    assert not any(is_silent(np.frombuffer(take, np.float32)) for take in takes.values())
    assert len(set(takes.values())) == len(SPEAKERS) == 9


@pytest.mark.parametrize("language", ["Chinese", "English"])
def test_women_sound_higher_than_men(language):
    pitches = {
        name: pitch(*speak(GREETINGS[language], voice_for(name, language))) for name in SPEAKERS
    }
    women = [hertz for name, hertz in pitches.items() if name in WOMEN]
    men = [hertz for name, hertz in pitches.items() if name not in WOMEN]
    assert min(women) > 1.15 * max(men)
    assert pitches["Uncle_fu"] == min(men)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("1 + 1", "English"),
        ("你好", "Chinese"),
        ("Hello 你好", "Chinese"),
        ("日本語を話す", "Japanese"),
        ("カタカナ", "Japanese"),
        ("안녕 世界", "Korean"),
        ("Привет", "Russian"),
    ],
)
def test_a_script_of_one_language_decides(text, language):
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Bonjour, Marie.", "French"),
        ("Ça va ?", "French"),
        ("Guten Morgen.", "German"),
        ("Buenos días, María.", "Spanish"),
        ("Buongiorno, Maria.", "Italian"),
        ("Onde fica a estação?", "Portuguese"),
        ("Where is the station?", "English"),
        ("Hello", None),
        ("Ja.", None),
    ],
)
def test_latin_letters_are_told_apart_by_their_words_or_not_at_all(text, language):
    pytest.importorskip("py3langid")
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "language", "letters"),
    [
        ("漢字です", "Japanese", ("Chinese characters",)),
        ("かなです", "Japanese", ()),
        ("かな OK", "Japanese", ("Latin letters",)),
        ("你好 OK", "Chinese", ()),
        ("你好", "German", ("Chinese characters",)),
        ("かなで", "English", ("kana",)),
        ("Да", "French", ("Cyrillic letters",)),
        ("안녕", "Italian", ()),
        ("שלום", "English", ("Hebrew letters",)),
        ("مرحبا", "French", ("Arabic letters",)),
        ("สวัสดี", "German", ("Thai letters",)),
        ("Καλημέρα", "English", ("Greek letters",)),
        ("Καλημέρα", "French", ()),
    ],
)
def test_letters_that_are_only_named_are_known(text, language, letters):
    assert letters_not_read(text, language) == letters


@pytest.mark.parametrize("text", ["שלום", "مرحبا", "สวัสดี", "Καλημέρα"])
def test_such_letters_take_as_long_as_their_names(text):
    assert len(speak(text, EspeakVoice("en-us"))[0]) > 22_050 * 0.25 * len(text)


def test_named_letters_are_why_kanji_take_so_long():
    """Ten syllables ("Chinese letter" twice over) for two kanji: the reason for the warning."""
    samples = {t: len(speak(t, EspeakVoice("ja"))[0]) for t in ("日本", "にほん")}
    assert samples["日本"] > 1.5 * samples["にほん"]
