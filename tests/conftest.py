"""What all tests share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# A setting of the person who runs the tests is no setting of a test.
for name in [n for n in os.environ if n.startswith("STORYCORE_TTS_") and "LIVE" not in n]:
    del os.environ[name]

# Nor are that person's own voices: the default library lies in the user's data folder.
os.environ["XDG_DATA_HOME"] = str(
    Path(tempfile.gettempdir()) / f"storycore-tts-tests-{os.getpid()}"
)
