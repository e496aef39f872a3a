"""The error tree, by the name under which most modules import it; see ``storycore_tts.errors``."""

from storycore_tts.errors import *  # noqa: F403
