"""``storycore-tts migrate``: what it says, what it writes, and its exit statuses."""

import pytest

SETTINGS = "config/default.yaml"
AI_SERVICE = "backend/video_editor_ai_service.py"


@pytest.fixture
def files(small_engine):
    def read():
        return {f: f.read_bytes() for f in sorted(small_engine.rglob("*")) if f.is_file()}

    return read


def test_it_says_where_the_checkout_is_and_what_comes_next(cli, small_engine, files):
    before = files()
    answer = cli("migrate", small_engine)
    assert answer.status == 0
    assert answer.out.startswith("phase 0: nothing yet\n")
    assert "  1 open  requirements.txt: storycore-tts is not required\n" in answer.out
    assert "\nto phase 1: alongside\n" in answer.out
    assert "+    backend: comfyui" in answer.out
    assert "--write" in answer.err
    assert files() == before


def test_phase_after_phase_in_the_working_folder(cli, small_engine, monkeypatch):
    monkeypatch.chdir(small_engine)
    for number in range(1, 5):
        answer = cli("migrate", "--write")
        assert answer.status == 0
        assert f"to phase {number}: " in answer.out
        assert "backups are in" in answer.err
    last = cli("migrate", "--write")
    assert (last.status, last.err) == (0, "nothing to write\n")
    assert last.out.startswith("phase 4: ")
    assert "to phase 3: " in cli("migrate", "--undo", "--write").out


def test_json_says_all_of_it(cli, small_engine):
    shown = cli("migrate", small_engine, "--to", 2, "--json").json
    assert (shown["phase"], shown["target"], shown["written"]) == (0, 2, False)
    paths = [change["path"] for change in shown["changes"]]
    assert paths == ["backend/main_api.py", AI_SERVICE, SETTINGS, "requirements.txt"]
    assert all(change["change"] == "changed" for change in shown["changes"])
    assert shown["evidence"][0] == {
        "phase": 1,
        "step": "phase-1-requirement",
        "required": True,
        "done": False,
        "path": "requirements.txt",
        "line": None,
        "says": "storycore-tts is not required",
    }
    written = cli("migrate", small_engine, "--to", 2, "--write", "--json").json
    assert written["written"]
    assert (small_engine / written["backup"] / AI_SERVICE).exists()
    assert cli("migrate", small_engine, "--json").json["phase"] == 2
    again = cli("migrate", small_engine, "--to", 2, "--write", "--json").json
    assert (again["changes"], again["written"], again["backup"]) == ([], False, None)


WRONG = ["nowhere", ".", "engine --to 5", "engine --to -1", "engine --to 1 --undo"]
WRONG += ["engine --config ../settings.yaml"]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_input_is_2_and_says_why_in_json(cli, small_engine, files, arguments):
    before = files()
    answer = cli("migrate", *arguments.split(), "--write", "--json")
    assert answer.status == 2
    assert answer.json["error"]["message"]
    assert files() == before


def test_a_refusal_still_says_which_phase_it_is(cli, small_engine):
    file = small_engine / AI_SERVICE
    file.write_bytes(file.read_bytes().replace(b"AIVideoEditorService", b"Editor"))
    answer = cli("migrate", small_engine, "--to", 2, "--write")
    assert answer.status == 2
    assert answer.out.startswith("phase 0: ")
    assert f"error: {AI_SERVICE} has no AIVideoEditorService" in answer.err
    assert "hint: " in answer.err


def test_another_file_of_settings_is_remembered(cli, small_engine):
    assert cli("migrate", small_engine, "--config", "conf/speech.yaml", "--write").status == 0
    assert (small_engine / "conf" / "speech.yaml").exists()
    assert cli("migrate", small_engine, "--json").json["phase"] == 1
    assert cli("migrate", small_engine, "--undo", "--write").status == 0
    assert not (small_engine / "conf" / "speech.yaml").exists()


def test_settings_that_would_be_refused_are_not_written(cli, small_engine, files):
    file = small_engine / SETTINGS
    file.write_bytes(file.read_bytes() + b"tts:\n  qwen:\n    bakend: direct\n")
    before = files()
    answer = cli("migrate", small_engine, "--to", 2, "--write")
    assert answer.status == 2
    for said in ("bakend", "Did you mean", file.name):
        assert said in answer.err
    assert files() == before


def test_a_migration_that_was_cut_off_is_told(cli, small_engine):
    cli("migrate", small_engine, "--write")
    folder = small_engine / ".storycore-tts-migration"
    pending = '{"folder": "0002-phase-1-to-2", "start": 1, "target": 2, "files": []}'
    (folder / "pending.json").write_text(pending)
    answer = cli("migrate", small_engine)
    assert answer.status == 0
    assert answer.err.startswith("A migration that was cut off has been taken back.\n")
