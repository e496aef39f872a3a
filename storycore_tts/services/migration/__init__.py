"""Migration of a StoryCore-Engine checkout from its own speech code to this package.

The rules are pure functions on texts: they determine the phase of a checkout and its files in
another phase. Callers read and write the files, and supply the data from git.
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
