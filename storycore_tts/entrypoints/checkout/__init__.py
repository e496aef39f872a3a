"""A StoryCore-Engine checkout on this machine's disk, under git: read, and written."""

from storycore_tts.entrypoints.checkout.checkouts import OpenCheckout, open_checkout, write

__all__ = ["OpenCheckout", "open_checkout", "write"]
