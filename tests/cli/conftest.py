"""The command line, called in this process and as a process of its own."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from storycore_tts.entrypoints.cli import main
from storycore_tts.testing.comfyui.log import Submitted

COMMAND = [sys.executable, "-m", "storycore_tts.entrypoints.cli"]


@dataclass(frozen=True)
class Answer:
    """What a run of the command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def path(self) -> str:
        """The one path on stdout."""
        assert self.out.count("\n") == 1
        return self.out.rstrip("\n")


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path, monkeypatch):
    """An empty working folder, and no settings but the defaults."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STORYCORE_TTS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def cli(capsys, monkeypatch):
    """Runs the command line in this process."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err or "--debug" in arguments
        return Answer(status, printed.out, printed.err)

    return run


@pytest.fixture
def terminal(monkeypatch):
    """Takes the streams of the command line in this process for a terminal of so many columns."""

    def pretend(columns=100):
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))

    return pretend


@pytest.fixture
def command():
    """Runs the command line as a process of its own."""

    def run(*arguments, **how):
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            timeout=110,
            check=False,
            **how,
        )
        assert b"Traceback" not in done.stderr
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def start():
    """Starts the command line as a process; whatever still runs after the test is killed."""
    children = []

    def begin(*arguments):
        child = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def server(standin_comfyui_factory):
    """A stand-in for ComfyUI without speech synthesis."""
    return standin_comfyui_factory(instant=True)


@pytest.fixture
def speaking_server(standin_comfyui_factory):
    """A stand-in for ComfyUI that really speaks."""
    return standin_comfyui_factory()


@pytest.fixture
def there(cli, server):
    """Runs the command line, in this process, on the server that does not speak."""
    return lambda *arguments, **how: cli(*arguments, "--url", server.url, **how)


@pytest.fixture
def inputs_of(server):
    """The inputs that the server's last job gave to a node."""

    def find(class_type):
        graph = server.log.of(Submitted)[-1].graph
        return next(n["inputs"] for n in graph.values() if n["class_type"] == class_type)

    return find


@pytest.fixture
def spoken(tmp_path, cli):
    """Four seconds of speech in a file, and its words."""
    words = "The lighthouse keeper climbed the stairs one last time, and the lamp lit the bay."
    path = tmp_path / "recording.wav"
    assert cli("say", words, "--backend", "draft", "--out", path).status == 0
    return path, words


@pytest.fixture
def dataset(tmp_path, spoken):
    """A folder of four recordings and their words."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    audio, words = spoken
    for number in range(4):
        shutil.copy(audio, folder / f"{number}.wav")
        (folder / f"{number}.txt").write_text(words)
    return folder
