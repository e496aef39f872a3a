"""A StoryCore-Engine checkout on this machine's disk: read, and written all or nothing."""

from storycore_tts.entrypoints.checkout.journal import FOLDER
from storycore_tts.entrypoints.checkout.reading import OpenCheckout, open_checkout, settings_path
from storycore_tts.entrypoints.checkout.writing import put_right, write

__all__ = ["FOLDER", "OpenCheckout", "open_checkout", "put_right", "settings_path", "write"]
