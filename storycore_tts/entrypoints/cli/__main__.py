"""``python -m storycore_tts.entrypoints.cli``."""

import sys

from storycore_tts.entrypoints.cli import main

sys.exit(main())
