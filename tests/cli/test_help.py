"""Help, version, and how fast they come."""

import json
import os
import subprocess
import sys

import pytest
import typer

from storycore_tts import __version__
from storycore_tts.entrypoints.cli.app import app

COMMANDS = ["say", "clone", "train", "speakers", "doctor", "demo", "standin", "voices", "migrate"]
VOICES = ["list", "add", "show", "remove"]
HEAVY = {
    "aiohttp", "dependency_injector", "httpx", "numpy", "pydantic", "rich", "soundfile",
    "platformdirs", "tenacity", "torch", "websockets", "yaml",
}  # fmt: skip


def test_help_lists_every_command_and_the_exit_statuses(cli):
    answer = cli("--help")
    assert answer.status == 0
    assert all(f"\n  {name} " in answer.out for name in COMMANDS)
    assert "3 backend unavailable" in " ".join(answer.out.split())


def test_every_command_explains_itself(cli):
    program = typer.main.get_command(app)
    voices = program.commands["voices"].commands
    assert list(voices) == VOICES
    commands = [([name], program.commands[name]) for name in COMMANDS]
    for names, command in commands + [(["voices", name], voices[name]) for name in VOICES]:
        answer = cli(*names, "--help")
        assert answer.status == 0
        assert f"Usage: storycore-tts {' '.join(names)}" in answer.out
        assert [parameter.name for parameter in command.params if not parameter.help] == []


def test_no_command_shows_the_help(cli):
    answer = cli()
    assert "Usage: storycore-tts" in answer.out + answer.err


def test_version(command):
    assert command("--version").out == f"storycore-tts {__version__}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import json, sys\n"
        "from storycore_tts.entrypoints.cli import main\n"
        "status = main(['--help'])\n"
        "print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    status, modules = json.loads(done.stderr)
    assert status == 0
    assert not HEAVY & {name.partition(".")[0] for name in modules}


@pytest.mark.skipif(os.name == "nt", reason="Windows tells nothing of ended processes' times")
def test_help_takes_at_most_three_times_the_work_of_importing_typer():
    help_, typer = (
        [sys.executable, "-m", "storycore_tts.entrypoints.cli", "--help"],
        [sys.executable, "-c", "import typer"],
    )
    works = {"help": [], "typer": []}
    for _ in range(4):
        works["help"].append(seconds_of_work(help_))
        works["typer"].append(seconds_of_work(typer))
    assert min(works["help"]) <= 3 * min(works["typer"])


def seconds_of_work(command):
    """What a process takes of the processors: a busy machine makes that no longer."""
    before = os.times()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])
