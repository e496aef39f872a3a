"""Progress goes forward, and says nothing twice."""

from __future__ import annotations

from storycore_tts import Progress, Stage
from storycore_tts.domain.progress import forward_only


def test_stages_and_fractions_never_go_back():
    heard: list[Progress] = []
    report = forward_only(heard.append)
    told = [
        Progress(Stage.QUEUED, queue_position=2),
        Progress(Stage.QUEUED, queue_position=2),  # said already
        Progress(Stage.GENERATING, 0.5),
        Progress(Stage.LOADING),  # came late
        Progress(Stage.GENERATING, 0.2),  # a second attempt
        Progress(Stage.GENERATING, message="no fraction"),
        Progress(Stage.GENERATING, 0.9),
        Progress(Stage.DOWNLOADING, 0.0),
    ]
    for progress in told:
        report(progress)
    assert heard == [told[0], told[2], told[5], told[6], told[7]]


def test_without_a_listener_nothing_happens():
    forward_only(None)(Progress(Stage.QUEUED))
