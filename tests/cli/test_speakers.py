"""``storycore-tts speakers``."""

from storycore_tts.testing.comfyui import SpeakerList


def test_one_voice_a_line_when_piped(cli, server):
    answer = cli("speakers", "--url", server.url)
    assert answer.status == 0
    rows = [line.split("\t") for line in answer.out.splitlines()]
    assert len(rows) == 9
    assert ["Ryan", "English", "dynamic man with a strong rhythm"] in rows


def test_the_server_has_the_word(cli, server):
    server.faults.add(SpeakerList(speakers=["[bold]Nobody"]))
    assert cli("speakers", "--url", server.url).out == "[bold]Nobody\t\t\n"


def test_json(cli):
    told = cli("speakers", "--backend", "draft", "--json").json
    assert len(told) == 9
    assert all(set(speaker) == {"name", "language", "description", "kind"} for speaker in told)


def test_a_table_on_a_terminal(cli, server, terminal):
    terminal()
    server.faults.add(SpeakerList(speakers=["Ryan", "[bold]Nobody"]))
    shown = cli("speakers", "--url", server.url).out
    assert "Speaker" in shown
    assert "[bold]Nobody" in shown
