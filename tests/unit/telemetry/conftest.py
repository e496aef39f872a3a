from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import settings

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

settings.register_profile("no deadline", deadline=None)  # busy machines are slow now and then
settings.load_profile("no deadline")

DOWN = BackendUnavailable("ComfyUI at 127.0.0.1:8188 refused the connection.", hint="Start it.")
FAILED = GenerationFailed("It choked on 'My diary'.")
SAY = ("synthesize", "comfyui")


@pytest.fixture(scope="session")
def events():
    """One event of each kind, and of each way to end."""
    return SimpleNamespace(
        started=RequestStarted(*SAY, request_id=7),
        finished=RequestFinished(
            *SAY,
            request_id=7,
            outcome="ok",
            seconds=3.5,
            audio_seconds=2.0,
            timings=Timings(queued=0.5, generating=3.0, total=3.5),
            job_id="4f2a",
        ),
        failed=RequestFinished(
            *SAY, request_id=7, outcome="GenerationFailed", seconds=1.0, error=FAILED
        ),
        refused=RequestFinished(
            *SAY, request_id=7, outcome="BackendUnavailable", seconds=0.0, error=DOWN
        ),
        cancelled=RequestFinished(*SAY, request_id=7, outcome="cancelled", seconds=1.0),
        tried=AttemptFailed(*SAY, attempt=1, error=DOWN, pause=0.25),
        given_up=AttemptFailed(*SAY, attempt=3, error=FAILED, pause=None),
        fell_back=FellBack(*SAY, to="draft", error=DOWN),
        down=AvailabilityChanged("", "comfyui", available=False, error=DOWN),
        back=AvailabilityChanged("", "comfyui", available=True),
        routed=Routed(*SAY, share=0.25),
        reloaded=Reloaded("", "direct"),
    )
