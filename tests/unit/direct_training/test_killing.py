"""A training that is killed loses its unfinished epoch and leaves nothing half-written."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="fine-tuning needs storycore-tts[direct]")
resource = pytest.importorskip("resource", reason="needs a POSIX system")

from storycore_tts.domain.errors import GenerationFailed  # noqa: E402
from storycore_tts.domain.progress import Progress  # noqa: E402
from storycore_tts.domain.requests import TrainingRequest  # noqa: E402

from .test_training import folders, train  # noqa: E402

CHILD = Path(__file__).with_name("child.py")


def killed(request: TrainingRequest, models: Any, folder: Path, stop: str) -> int:
    """Run a training in another process, up to where it ends; return the signal that ended it."""
    described = folder / "request.json"
    described.write_text(json.dumps(dataclasses.asdict(request)))
    arguments = [sys.executable, str(CHILD), str(described), str(models.folder), stop]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for line in child.stdout:
            if line == b"waiting\n":
                child.kill()
        return -child.wait()


def visible(output: Path) -> list[str]:
    return [name for name in folders(output) if not name.startswith(".")]


def test_killed_in_the_middle_of_an_epoch(models, request_for, tmp_path: Path) -> None:
    request = request_for(num_epochs=3, validate_every=3)
    assert killed(request, models, tmp_path, "step 6") == signal.SIGKILL
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]

    heard: list[Progress] = []
    voice = train(request, models, on_progress=heard.append)
    assert next(p.step for p in heard if p.step is not None) == 5  # the second epoch, anew
    assert folders(tmp_path / "out") == ["checkpoint-epoch-2"]
    assert len(voice.loss_history) == voice.epochs == 3


def test_killed_in_the_middle_of_a_file(models, request_for, tmp_path: Path) -> None:
    request = request_for(num_epochs=2)
    assert killed(request, models, tmp_path, "writing epoch 2") == signal.SIGXFSZ
    output = tmp_path / "out"
    assert visible(output) == ["training-state-epoch-0"]
    assert folders(output) != visible(output)  # it was indeed writing

    voice = train(request, models)
    assert voice.epochs == 2
    assert folders(output) == ["checkpoint-epoch-1"]


def test_a_disk_that_refuses_is_named_and_the_last_epoch_is_kept(
    models, request_for, tmp_path: Path
) -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def listen(progress: Progress) -> None:
        if progress.message == "saving epoch 2":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))

    request = request_for(num_epochs=3)
    try:
        with pytest.raises(GenerationFailed, match="cannot read or write its files") as refused:
            train(request, models, on_progress=listen)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert "goes on after the last whole epoch" in str(refused.value)
    assert folders(tmp_path / "out") == ["training-state-epoch-0"]
    assert train(request, models).epochs == 3


def test_a_checkpoint_without_its_state_is_written_anew(
    models, request_for, tmp_path: Path
) -> None:
    """So it is found when a training was killed between writing the one and the other."""
    request = request_for(num_epochs=2, validate_every=1)
    voice = train(request, models)
    output = tmp_path / "out"
    shutil.rmtree(output / "checkpoint-epoch-1")
    again = train(request, models)
    assert again.loss_history == pytest.approx(voice.loss_history, rel=1e-4)
    assert folders(output) == ["checkpoint-epoch-0", "checkpoint-epoch-1"]
