"""``python -m storycore_tts_cli``."""

import sys

from storycore_tts_cli import main

sys.exit(main())
