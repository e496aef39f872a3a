"""Takes a checkout to a phase, and is killed: ``writer.py CHECKOUT PHASE FILES-BEFORE-THAT``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from storycore_tts.entrypoints.checkout import open_checkout, write
from storycore_tts.services.migration import (
    REQUIREMENT_STEP,
    SETTINGS_STEP,
    USUAL_SETTINGS,
    plan,
)

ROOT, TARGET, LEFT = Path(sys.argv[1]), int(sys.argv[2]), [None] * int(sys.argv[3])
LINES = {REQUIREMENT_STEP: ["storycore-tts[draft,server]"], SETTINGS_STEP: USUAL_SETTINGS}


def rename(new: Path, old: Path) -> None:
    """Put a file in its place, or be killed with a draft beside it."""
    if not LEFT:
        os.kill(os.getpid(), signal.SIGKILL)
    LEFT.pop()
    new.replace(old)


opened = open_checkout(ROOT, LINES)
write(opened, plan(opened.now, opened.committed, TARGET, {}), rename=rename)
os.kill(os.getpid(), signal.SIGKILL)
