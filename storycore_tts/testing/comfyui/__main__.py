"""`python -m storycore_tts.testing.comfyui --port 0`."""

import sys

from .command import run

sys.exit(run())
