"""Consent to the use of recordings."""

from __future__ import annotations

from storycore_tts.domain.consent import AtOnce
from storycore_tts.settings.block import SettingsBlock


class ConsentConfig(SettingsBlock):
    """Consent to the use of recordings that are cloned at once, without storing a voice."""

    at_once: AtOnce = "warned"
    """What happens to a request that clones a recording and states no consent: ``required``: it is
    refused; ``warned``: its result has a warning; ``off``: nothing."""
