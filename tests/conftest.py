"""What all tests share."""

from __future__ import annotations

import os

# A setting of the person who runs the tests is no setting of a test.
for name in [n for n in os.environ if n.startswith("STORYCORE_TTS_") and "LIVE" not in n]:
    del os.environ[name]
