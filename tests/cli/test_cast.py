"""``storycore-tts cast`` and ``storycore-tts storycore speak-scene``."""

import json

import pytest
import yaml

SHEETS = [
    {"character_id": "uuid-1", "name": "Anna", "gender": "female"},
    {"character_id": "uuid-2", "name": "Tom", "gender": "male", "age": "67"},
]
LINES = [
    {"line_id": "l1", "character_id": "uuid-1", "character_name": "Anna", "dialogue": "Hello."},
    {
        "line_id": "l2",
        "character_id": "uuid-2",
        "character_name": "Tom",
        "dialogue": "Hello, Anna.",
    },
]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "characters.json").write_text(json.dumps({"characters": SHEETS}))
    (tmp_path / "cast.yaml").write_text("# ours\nSTEEL: {voice: Eric, instruct: tired}\n")
    return tmp_path


@pytest.fixture
def dialogue(tmp_path):
    def write(lines):
        (tmp_path / "scene.json").write_text(json.dumps({"scene_id": "S02", "lines": lines}))
        return "scene.json"

    return write


def rows(answer):
    return [line.split("\t") for line in answer.out.splitlines()]


def test_who_speaks_for_whom_is_shown_and_nothing_is_written(cli, project):
    answer = cli("cast", "--backend", "draft")
    assert answer.status == 0
    assert rows(answer)[0] == ["STEEL", "STEEL", "Eric", "", "tired", "cast.yaml"]
    assert rows(answer)[2] == ["Tom", "uuid-2", "Uncle_fu", "", "", "proposed"]
    assert {file.name for file in project.iterdir()} == {"cast.yaml", "characters.json"}
    assert cli("cast", "--backend", "draft", "--json").json[1]["character"] == "Anna"


def test_write_adds_who_is_not_cast(cli, project):
    shown = rows(cli("cast", "--backend", "draft"))
    before = (project / "cast.yaml").read_text()
    answer = cli("cast", "--write", "--backend", "draft")
    assert [row[:3] for row in rows(answer)] == [row[:3] for row in shown]
    assert {row[5] for row in rows(answer)} == {"cast.yaml"}
    after = (project / "cast.yaml").read_text()
    assert after.startswith(before)
    assert yaml.safe_load(after)["Tom"] == {"voice": "Uncle_fu", "aliases": ["uuid-2"]}
    assert "nothing to add" in cli("cast", "--write", "--backend", "draft").err


def test_a_cast_that_is_complete_asks_no_backend_and_a_wrong_one_names_its_line(cli, project):
    (project / "characters.json").unlink()
    assert cli("cast", "--url", "http://127.0.0.1:9").status == 0
    (project / "wrong.yaml").write_text("A: {voise: Ryan}\n")
    (project / "settings.yaml").write_text("tts: {qwen: {cast: wrong.yaml}}\n")
    answer = cli("cast", "--config", "settings.yaml")
    assert answer.status == 2
    assert "wrong.yaml, line 1: A.voise" in answer.err


def test_a_project_without_characters_is_said(cli):
    answer = cli("cast", "--backend", "draft")
    assert (answer.status, answer.out) == (0, "")
    assert "no characters" in answer.err


def test_a_table_on_a_terminal(cli, project, terminal):
    terminal(120)
    shown = cli("cast", "--backend", "draft").out
    assert "Character" in shown
    assert "Uncle_fu" in shown


def test_a_scene_is_spoken_and_listed(cli, project, dialogue):
    speak = ("storycore", "speak-scene", dialogue(LINES), "--backend", "draft")
    answer = cli(*speak)
    assert answer.status == 0
    assert [row[2:4] for row in rows(answer)][1] == ["Tom", "Uncle_fu"]
    assert rows(answer)[0][0] == "0.000"
    assert rows(answer)[0][4] == str(project / "output" / "S02" / "S02_0010_ANNA.wav")
    assert "Tom is not cast; Uncle_fu speaks (line 20)" in answer.err
    told = cli(*speak, "--json")
    assert [clip["name"] for clip in told.json["clips"]] == ["S02_0010_ANNA", "S02_0020_TOM"]
    assert "0 spoken, 2 kept, 0 failed" in told.err


def test_a_line_that_fails_decides_on_the_exit_status_and_nothing_is_posted(cli, project, dialogue):
    long = {**LINES[1], "dialogue": "word " * 3000}
    answer = cli(
        "storycore", "speak-scene", dialogue([LINES[0], long]), "--backend", "draft",
        "--engine", "http://127.0.0.1:9", "--project", "p", "--track", "t",
    )  # fmt: skip
    assert answer.status == 2
    assert "error: line 20 (l2) was not spoken: The text is too long" in answer.err
    assert len(rows(answer)) == 1


def test_an_engine_that_is_away_is_said_after_the_lines_are_spoken(cli, project, dialogue):
    speak = ("storycore", "speak-scene", dialogue(LINES), "--backend", "draft")
    engine = ("--engine", "http://127.0.0.1:9", "--project", "p", "--track", "t")
    answer = cli(*speak, *engine)
    assert answer.status == 3
    assert "StoryCore-Engine at http://127.0.0.1:9 cannot be reached" in answer.err
    assert (project / "output" / "S02" / "S02_0020_TOM.wav").exists()
    assert cli(*speak, "--engine", "http://127.0.0.1:9").status == 2
