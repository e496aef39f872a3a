"""``storycore-tts migrate``: what it says, what it writes, and its exit statuses."""

import importlib.metadata
import shutil

import pytest

from storycore_tts import InvalidRequest, __version__
from storycore_tts.entrypoints.cli.requirement import requirement_line
from tests.small_engine import commit, git

SETTINGS = "data/storycore-tts.yaml"
AI_SERVICE = "backend/video_editor_ai_service.py"


@pytest.fixture
def status(small_engine):
    """What git says has changed."""
    return lambda: git(small_engine, "status", "--porcelain")


def test_it_says_where_the_checkout_is_and_what_comes_next(cli, small_engine, status):
    answer = cli("migrate", small_engine)
    assert answer.status == 0
    assert answer.out.startswith("phase 0: nothing yet\n")
    assert "  1 open  requirements.txt: storycore-tts is not required\n" in answer.out
    assert "\nto phase 1: alongside\n" in answer.out
    assert "+    backend: comfyui" in answer.out
    assert "rollout:" not in answer.out
    assert "--write" in answer.err
    assert status() == ""


def test_phase_after_phase_in_the_working_folder_and_back(cli, small_engine, monkeypatch, status):
    monkeypatch.chdir(small_engine)
    for number in range(1, 5):
        answer = cli("migrate", "--write")
        assert answer.status == 0
        assert f"to phase {number}: " in answer.out
        assert answer.err.endswith("written; git status and git diff show it\n")
    last = cli("migrate", "--write")
    assert (last.status, last.err) == (0, "nothing to write\n")
    assert last.out.startswith("phase 4: ")
    for number in (3, 2, 1, 0):
        assert f"to phase {number}: " in cli("migrate", "--undo", "--write").out
    assert status() == ""


def test_json_says_all_of_it(cli, small_engine):
    shown = cli("migrate", small_engine, "--to", 2, "--json").json
    assert (shown["phase"], shown["target"], shown["written"]) == (0, 2, False)
    paths = [change["path"] for change in shown["changes"]]
    assert paths == ["backend/main_api.py", AI_SERVICE, SETTINGS, "requirements.txt"]
    kinds = ["changed", "changed", "created", "changed"]
    assert [change["change"] for change in shown["changes"]] == kinds
    assert shown["evidence"][0] == {
        "phase": 1,
        "step": "phase-1-requirement",
        "done": False,
        "path": "requirements.txt",
        "line": None,
        "says": "storycore-tts is not required",
    }
    assert cli("migrate", small_engine, "--to", 2, "--write", "--json").json["written"]
    assert cli("migrate", small_engine, "--json").json["phase"] == 2
    again = cli("migrate", small_engine, "--to", 2, "--write", "--json").json
    assert (again["changes"], again["written"]) == ([], False)


WRONG = ["nowhere", ".", "engine --to 5", "engine --to -1", "engine --to 1 --undo"]
WRONG += ["engine --config ../settings.yaml", "engine --requirement no-such.whl"]
WRONG += ["engine --rollout 2", "engine --rollout 0.5 --to 0"]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_input_is_2_and_says_why_in_json(cli, small_engine, status, arguments):
    answer = cli("migrate", *arguments.split(), "--write", "--json")
    assert answer.status == 2
    assert answer.json["error"]["message"]
    assert status() == ""


def test_a_refusal_still_says_which_phase_it_is(cli, small_engine):
    file = small_engine / AI_SERVICE
    file.write_bytes(file.read_bytes().replace(b"class TTSService", b"class Speaker"))
    commit(small_engine)
    answer = cli("migrate", small_engine, "--to", 2, "--write")
    assert answer.status == 2
    assert answer.out.startswith("phase 0: ")
    assert f"error: {AI_SERVICE} has no TTSService" in answer.err
    assert "hint: " in answer.err


def test_a_checkout_without_git_is_told_to_make_one(cli, small_engine):
    shutil.rmtree(small_engine / ".git")
    answer = cli("migrate", small_engine, "--write")
    assert answer.status == 2
    assert "git init && git add -A && git commit" in answer.err


def test_another_folder_is_not_told_to_make_a_repository(cli, tmp_path):
    answer = cli("migrate", tmp_path)
    assert answer.status == 2
    assert "not a checkout of StoryCore-Engine" in answer.err
    assert "git init" not in answer.err


def test_a_rollout_only_for_those_who_ask(cli, small_engine, status):
    file = small_engine / SETTINGS
    cli("migrate", small_engine, "--rollout", 0.5, "--write")
    cli("migrate", small_engine, "--to", 0, "--write")
    assert status() == ""
    cli("migrate", small_engine, "--write")
    file.write_text(file.read_text().replace("Ryan", "Serena"))
    cli("migrate", small_engine, "--to", 2, "--rollout", 0.1, "--write")
    assert "rollout: 0.1" in file.read_text()
    assert "Serena" in file.read_text()
    cli("migrate", small_engine, "--to", 3, "--rollout", 0.25, "--write")
    assert file.read_text().count("rollout:") == file.read_text().count("rollout: 0.25") == 1
    assert "rollout is 0.25" in cli("migrate", small_engine, "--to", 4).err
    refused = cli("migrate", small_engine, "--to", 0, "--write")
    assert "git add data/storycore-tts.yaml && git commit" in refused.err
    commit(small_engine)
    cli("migrate", small_engine, "--to", 0, "--write")
    assert not file.exists()


def test_settings_that_would_be_refused_are_not_written(cli, small_engine, status):
    (small_engine / SETTINGS).write_text("tts:\n  qwen:\n    bakend: direct\n")
    commit(small_engine)
    answer = cli("migrate", small_engine, "--to", 4, "--write")
    assert answer.status == 2
    for said in ("bakend", "Did you mean", SETTINGS):
        assert said in answer.err
    assert status() == ""


def test_what_pip_is_to_install(cli, small_engine, tmp_path):
    wheel = tmp_path / "storycore_tts-1-py3-none-any.whl"
    wheel.write_bytes(b"")
    of_git = "git+https://example.org/speech.git@main"
    for address, line in (
        (wheel, f"storycore-tts[draft,server] @ {wheel.as_uri()}"),
        (of_git, f"storycore-tts[draft,server] @ {of_git}"),
        ("storycore_tts[server,media] == 1.0", "storycore_tts[server,media] == 1.0"),
    ):
        answer = cli("migrate", small_engine, "--requirement", address, "--write")
        assert (small_engine / "requirements.txt").read_text().splitlines()[-2] == line
        assert ("on this machine" in answer.err) == (address is wheel)
        cli("migrate", small_engine, "--to", 2, "--write")  # keeps it
        assert (small_engine / "requirements.txt").read_text().splitlines()[-2] == line
        cli("migrate", small_engine, "--to", 0, "--write")


NOTED = {
    '{"url": "file:///src", "dir_info": {"editable": true}}': "storycore-tts[draft,server] @ file:///src",
    '{"url": "https://a.org/b.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}}': (
        "storycore-tts[draft,server] @ git+https://a.org/b.git@12ab"
    ),
    '{"url": "https://a.org/b.whl", "archive_info": {}}': (
        "storycore-tts[draft,server] @ https://a.org/b.whl"
    ),
    None: f"storycore-tts[draft,server]>={__version__}  # no release yet: pass the URL of a"
    " wheel or a git repository to migrate --requirement",
}


@pytest.mark.parametrize(("noted", "line"), NOTED.items())
def test_by_default_it_is_what_is_running(tmp_path, noted, line):
    info = tmp_path / "storycore_tts-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: storycore-tts\nVersion: 1\n")
    if noted is not None:
        (info / "direct_url.json").write_text(noted)
    assert requirement_line(installed=importlib.metadata.Distribution.at(info)) == line


@pytest.mark.parametrize("address", ["", "a\nb", "dü.whl", "git+https://ü.org"])
def test_requirements_that_are_no_line(address):
    with pytest.raises(InvalidRequest):
        requirement_line(address)
