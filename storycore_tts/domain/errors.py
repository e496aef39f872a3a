"""Re-exports ``storycore_tts.errors``, for modules that import it from here."""

from storycore_tts.errors import *  # noqa: F403
