"""``--disclose`` and ``--caption``: notices that the audio was generated."""

from pathlib import Path

import pytest
import soundfile

pytest.importorskip("espeakng_loader")
LINE = ("say", "Bonjour tout le monde.", "--language", "fr", "--backend", "draft")
NOTICE = "Cet enregistrement a été généré par une intelligence artificielle."


def test_a_notice_is_spoken_in_front_of_the_line(cli):
    plain = cli(*LINE, "--out", "plain.wav", "--json").json
    made = cli(*LINE, "--out", "said.wav", "--disclose", "--json").json
    notice = made["disclosure"]
    assert (plain["disclosure"], notice["text"]) == (None, NOTICE)
    assert made["duration"] == pytest.approx(plain["duration"] + notice["seconds"] + 0.4)
    assert soundfile.info("said.wav").duration == pytest.approx(made["duration"])


def test_text_and_voice_of_the_notice_are_free(cli):
    how = ("--disclose-text", "Voix de synthèse.", "--disclose-voice", "Serena")
    assert cli(*LINE, "--out", "a.wav", *how, "--json").json["disclosure"]["text"] == (
        "Voix de synthèse."
    )
    answer = cli(*LINE, "--out", "b.wav", "--disclose-voice", "Nobody")
    assert (answer.status, Path("b.wav").exists()) == (2, False)


def test_the_caption_is_shown_while_the_notice_is_heard(cli):
    made = cli(*LINE, "--out", "a.wav", "--disclose", "--caption", "a.vtt", "--json").json
    before, _, rest = Path("a.vtt").read_text("utf-8").partition(" --> 00:00:")
    assert before == "WEBVTT\n\n00:00:00.000"
    assert float(rest[:6]) == pytest.approx(made["disclosure"]["seconds"], abs=0.001)
    assert rest[6:] == f"\n{NOTICE}\n"


def test_a_caption_needs_no_spoken_notice(cli):
    made = cli(*LINE, "--out", "a.wav", "--caption", "a.SRT", "--json").json
    assert made["disclosure"] is None
    assert Path("a.SRT").read_text("utf-8").splitlines()[2] == NOTICE


def test_a_caption_that_cannot_be_written_is_refused_before_anything_is_spoken(cli):
    Path("kept.srt").write_text("mine")
    for file in ("a.txt", "kept.srt", "missing/a.srt"):
        answer = cli(*LINE, "--out", "a.wav", "--caption", file)
        assert (answer.status, Path("a.wav").exists()) == (2, False)
    assert Path("kept.srt").read_text() == "mine"
    assert cli(*LINE, "--out", "a.wav", "--caption", "kept.srt", "--force").status == 0
