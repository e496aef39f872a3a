"""Reads and writes a StoryCore-Engine checkout on the local disk, under git."""

from storycore_tts.entrypoints.checkout.checkouts import OpenCheckout, open_checkout, write

__all__ = ["OpenCheckout", "open_checkout", "write"]
