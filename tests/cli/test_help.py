"""Help, version, and how fast they come."""

import json
import subprocess
import sys

import typer

from storycore_tts import __version__
from storycore_tts.entrypoints.cli.app import app

COMMANDS = [
    "say",
    "clone",
    "train",
    "speakers",
    "doctor",
    "inspect",
    "demo",
    "standin",
    "voices",
    "migrate",
]
VOICES = ["list", "add", "show", "remove", "revoke", "consent"]


def test_help_lists_every_command_and_the_exit_statuses(cli):
    nothing = cli()
    assert "Usage: storycore-tts" in nothing.out + nothing.err
    answer = cli("--help")
    assert answer.status == 0
    assert all(f"\n  {name} " in answer.out for name in COMMANDS)
    assert "3 backend unavailable" in " ".join(answer.out.split())


def test_every_command_explains_itself(cli):
    program = typer.main.get_command(app)
    voices = program.commands["voices"].commands
    assert list(voices) == VOICES
    commands = [([name], program.commands[name]) for name in COMMANDS]
    consent = voices["consent"].commands
    assert list(consent) == ["export", "import"]
    commands += [(["voices", name], voices[name]) for name in VOICES]
    commands += [(["voices", "consent", name], command) for name, command in consent.items()]
    for names, command in commands:
        answer = cli(*names, "--help")
        assert answer.status == 0
        assert f"Usage: storycore-tts {' '.join(names)}" in answer.out
        assert [parameter.name for parameter in command.params if not parameter.help] == []


def test_version(command):
    assert command("--version").out == f"storycore-tts {__version__}\n"


def packages_after(code):
    """What a process has imported when it has run this."""
    code = f"import json, sys\n{code}\nprint(json.dumps([*sys.modules]), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stderr)}


def test_help_imports_nothing_that_typer_does_not():
    """Help that takes longer than a blink is not asked for."""
    needed = packages_after("import typer")
    used = packages_after("from storycore_tts.entrypoints.cli import main; main(['--help'])")
    assert used - needed - sys.stdlib_module_names == {"lazy_loader", "storycore_tts"}
