"""Where a text is cut, and that nothing is lost."""

import sys

import pytest

from storycore_tts.domain.sentences import PARAGRAPH_PAUSE, SENTENCE_PAUSE, sentences
from storycore_tts.errors import InvalidRequest

CUTS = {
    "English": [
        "Dr. Smith paid $3.50 at 5 p.m. on Jan. 5th.",
        "Wait… what did Mr. J. R. Hart say in the U.S. about version 2.0.1?",
        "“Stop right there!” she said.",
        "See Fig. 3 for more.",
    ],
    "German": ["Am 5. Mai 1939 kam z. B. Dr. Müller.", "»Halt, sofort!«, rief er laut."],
    "French": ["M. Dupont est arrivé hier.", "Il a dit : « Bonjour à tous ! »"],
    "Spanish": ["¿Cómo estás esta mañana?", "¡Muy bien, Sr. López!"],
    "Russian": ["Он родился в 1990 г. в Москве.", "И что было потом?!"],
    "Chinese": ["今天天气很好。", "“我真的不知道！”", "价格是3.5元……然后呢？"],
    "Japanese": ["「こんにちは。元気ですか？」", "はい、元気です！", "そうですか……。"],
    "Korean": ["오늘은 3.5도입니다.", "내일은 비가 옵니다."],
}


@pytest.mark.parametrize("language", CUTS)
def test_a_text_is_cut_at_the_ends_of_its_sentences(language):
    apart = "" if language in ("Chinese", "Japanese") else " "
    found = sentences(apart.join(CUTS[language]), language)
    assert [sentence.text for sentence in found] == CUTS[language]
    assert [sentence.pause for sentence in found] == [SENTENCE_PAUSE] * (len(found) - 1) + [0.0]


def test_what_is_short_goes_with_what_follows_and_paragraphs_pause_longer():
    text = "One line of text.\n\n Yes. No! Another one is here. … * * * * * * * * * * * * * * *"
    first, second = sentences(text)
    assert (first.text, first.pause) == ("One line of text.", PARAGRAPH_PAUSE)
    assert second.text == text.partition("\n\n ")[2]
    assert [sentence.text for sentence in sentences("Hm.")] == ["Hm."]


def test_the_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencex", None)
    with pytest.raises(InvalidRequest, match="sentencex"):
        sentences("One. Two.")
