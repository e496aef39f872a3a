"""A training that is killed loses its unfinished epoch and leaves nothing half-written."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storycore_tts.errors import GenerationFailed

from .conftest import folders

resource = pytest.importorskip("resource", reason="needs a POSIX system")

CHILD = Path(__file__).with_name("child.py")


@pytest.fixture
def killed(tiny_models, request_for, tmp_path):
    """Runs a training in another process, up to where it ends; returns what ended it."""

    def run(stop, **request):
        described = tmp_path / "request.json"
        described.write_text(json.dumps(dataclasses.asdict(request_for(**request))))
        arguments = [sys.executable, str(CHILD), str(described), str(tiny_models.folder), stop]
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            for line in child.stdout:
                if line == b"waiting\n":
                    child.kill()
            return -child.wait()

    return run


def test_killed_in_the_middle_of_an_epoch(train, killed, tmp_path):
    request = {"num_epochs": 3, "validate_every": 3}
    assert killed("step 6", **request) == signal.SIGKILL
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]

    heard = []
    voice = train({"on_progress": heard.append}, **request)
    assert next(p.step for p in heard if p.step is not None) == 5  # the second epoch, anew
    assert folders(tmp_path / "out") == ["checkpoint-epoch-2"]
    assert len(voice.loss_history) == voice.epochs == 3


def test_killed_in_the_middle_of_a_file(train, killed, tmp_path):
    assert killed("writing epoch 2", num_epochs=2) == signal.SIGXFSZ
    left = folders(tmp_path / "out")
    assert [name for name in left if not name.startswith(".")] == ["training-state-epoch-0"]
    assert len(left) > 1  # it was indeed writing

    assert train(num_epochs=2).epochs == 2
    assert folders(tmp_path / "out") == ["checkpoint-epoch-1"]


def test_a_disk_that_refuses_is_named_and_the_last_epoch_is_kept(train, tmp_path):
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def listen(progress):
        if progress.message == "saving epoch 2":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))

    try:
        with pytest.raises(GenerationFailed, match="cannot read or write its files") as refused:
            train({"on_progress": listen})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert "resumes after the last complete epoch" in str(refused.value)
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]
    assert train().epochs == 3


def test_a_checkpoint_without_its_state_is_written_anew(train, tmp_path):
    """So it is found when a training was killed between writing the one and the other."""
    request = {"num_epochs": 2, "validate_every": 1}
    voice = train(**request)
    shutil.rmtree(tmp_path / "out" / "checkpoint-epoch-1")
    assert train(**request).loss_history == pytest.approx(voice.loss_history, rel=1e-4)
    assert folders(tmp_path / "out") == ["checkpoint-epoch-0", "checkpoint-epoch-1"]
