"""What is shown while a job is under way."""

import pytest

from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.entrypoints.cli import progress

NEWS = [
    Progress(Stage.QUEUED),
    Progress(Stage.QUEUED, queue_position=2),
    Progress(Stage.QUEUED, queue_position=2),
    Progress(Stage.QUEUED, queue_position=0),
    Progress(Stage.LOADING),
    Progress(Stage.LOADING, message="Encoding 4 samples..."),
    Progress(Stage.GENERATING, 0.0),
    Progress(Stage.GENERATING, 0.5),
    Progress(Stage.DOWNLOADING),
    Progress(Stage.DOWNLOADING, 1.0),
]
TRAINING = [
    Progress(Stage.TRAINING, 0.25, step=1, total_steps=4),
    Progress(Stage.TRAINING, epoch=1, loss=10.0),
    Progress(Stage.TRAINING, 0.5, step=2, total_steps=4),
    Progress(Stage.TRAINING, epoch=1, loss=9.0),
    Progress(Stage.TRAINING, 0.75, step=3, total_steps=4),
    Progress(Stage.TRAINING, epoch=2, loss=8.0),
    Progress(Stage.TRAINING, epoch=2, message="validated epoch 2"),
]


def shown(capsys, news, *, quiet=False):
    with progress.shown(quiet=quiet) as shown:
        for item in news:
            shown.progress(item)
    return capsys.readouterr()


def test_one_line_for_every_change_unless_it_is_quiet(capsys):
    printed = shown(capsys, NEWS)
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "queued",
        "queued: 2 ahead",
        "queued: next",
        "loading",
        "loading: Encoding 4 samples...",
        "generating",
        "downloading",
    ]
    assert shown(capsys, NEWS, quiet=True).err == ""


def test_one_line_for_every_epoch(capsys):
    assert shown(capsys, TRAINING).err.splitlines() == [
        "training: step 1 of 4",
        "training: epoch 1, loss 10.000",
        "training: epoch 2, loss 8.000",
        "training: validated epoch 2",
    ]


@pytest.mark.parametrize(
    ("news", "last"),
    [
        (NEWS, "downloading"),
        (TRAINING[:-1], "training: epoch 2, step 3 of 4, loss 8.000"),
        (TRAINING, "training: validated epoch 2"),
    ],
    ids=["speech", "epochs", "validation"],
)
def test_a_bar_on_a_terminal(capsys, monkeypatch, terminal, news, last):
    terminal()
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = shown(capsys, news)
    assert printed.out == ""
    assert last in printed.err
