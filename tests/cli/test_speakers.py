"""``storycore-tts speakers``."""

from storycore_tts.testing.comfyui import SpeakerList


def test_one_voice_a_line_when_piped(there):
    answer = there("speakers")
    assert answer.status == 0
    rows = [line.split("\t") for line in answer.out.splitlines()]
    assert len(rows) == 9
    assert ["Ryan", "English", "dynamic man with a strong rhythm"] in rows


def test_the_server_has_the_word_and_a_table_shows_it_as_it_is(there, server, terminal):
    server.faults.add(SpeakerList(speakers=["[bold]Nobody"], times=None))
    assert there("speakers").out == "[bold]Nobody\t\t\n"
    terminal()
    shown = there("speakers").out
    assert "Speaker" in shown
    assert "[bold]Nobody" in shown


def test_without_a_server_these_are_the_models_and_marked_so(cli):
    answer = cli("speakers", "--url", "http://127.0.0.1:9", "--json")
    assert answer.status == 0
    assert {speaker["kind"] for speaker in answer.json} == {"built-in, not confirmed"}
    draft = cli("speakers", "--backend", "draft", "--json").json
    assert [speaker["name"] for speaker in answer.json] == [speaker["name"] for speaker in draft]
    [warning] = answer.err.splitlines()
    assert "no server is listening" in warning
    assert "the nine voices of the Qwen3-TTS models" in warning


def test_json(cli):
    told = cli("speakers", "--backend", "draft", "--json").json
    assert len(told) == 9
    assert all(set(speaker) == {"name", "language", "description", "kind"} for speaker in told)
