from __future__ import annotations

from types import SimpleNamespace

import pytest

from storycore_tts import (
    AttemptFailed,
    AvailabilityChanged,
    BackendUnavailable,
    FellBack,
    GenerationFailed,
    Reloaded,
    RequestFinished,
    RequestStarted,
    Routed,
    Timings,
)

DOWN = BackendUnavailable("ComfyUI at 127.0.0.1:8188 refused the connection.", hint="Start it.")
FAILED = GenerationFailed("It choked on 'My diary'.")
SAY = ("synthesize", "comfyui")


@pytest.fixture(scope="session")
def events():
    """One event of each kind, and of each way to end."""
    timings = Timings(queued=0.5, generating=3.0, total=3.5)
    spoken = {"audio_seconds": 2.0, "timings": timings, "job_id": "4f2a"}
    return SimpleNamespace(
        started=RequestStarted(*SAY, 7),
        finished=RequestFinished(*SAY, 7, "ok", 3.5, **spoken),
        failed=RequestFinished(*SAY, 7, "GenerationFailed", 1.0, FAILED),
        refused=RequestFinished(*SAY, 7, "BackendUnavailable", 0.0, DOWN),
        cancelled=RequestFinished(*SAY, 7, "cancelled", 1.0),
        tried=AttemptFailed(*SAY, attempt=1, error=DOWN, pause=0.25),
        given_up=AttemptFailed(*SAY, attempt=3, error=FAILED, pause=None),
        fell_back=FellBack(*SAY, to="draft", error=DOWN),
        down=AvailabilityChanged("", "comfyui", available=False, error=DOWN),
        back=AvailabilityChanged("", "comfyui", available=True),
        routed=Routed(*SAY, share=0.25),
        reloaded=Reloaded("", "direct"),
    )
