"""A StoryCore-Engine checkout on its way from its own speech code to this package.

The rules are functions from texts to texts: which phase a checkout is in and why, and what its
files look like in another. How files are read and written, and what git has, is told to them.
"""

from storycore_tts.services.migration.checkout import SETTINGS, WATCHED, Checkout, Lines
from storycore_tts.services.migration.planning import (
    Evidence,
    Plan,
    evidence,
    phase_of,
    plan,
    reached,
)
from storycore_tts.services.migration.steps import (
    LAST,
    PHASES,
    REQUIREMENT_STEP,
    SETTINGS_STEP,
    USUAL_SETTINGS,
)

__all__ = [
    "LAST",
    "PHASES",
    "REQUIREMENT_STEP",
    "SETTINGS",
    "SETTINGS_STEP",
    "USUAL_SETTINGS",
    "WATCHED",
    "Checkout",
    "Evidence",
    "Lines",
    "Plan",
    "evidence",
    "phase_of",
    "plan",
    "reached",
]
