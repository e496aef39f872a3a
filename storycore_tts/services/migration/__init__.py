"""A StoryCore-Engine checkout on its way from its own speech code to this package.

The rules are functions from texts to texts: which phase a checkout is in and why, and what its
files look like in another. Who reads and writes the files is no business of theirs.
"""

from storycore_tts.services.migration.checkout import SETTINGS, WATCHED, Checkout
from storycore_tts.services.migration.errors import (
    AnchorNotFound,
    CannotGoBack,
    LocalChanges,
    MigrationRefused,
    NotACheckout,
    NotWritable,
    UnfitFile,
)
from storycore_tts.services.migration.planning import (
    Change,
    Evidence,
    Plan,
    evidence,
    phase_of,
    plan,
    reached,
)
from storycore_tts.services.migration.regions import Region
from storycore_tts.services.migration.steps import LAST, PHASES, Finding

__all__ = [
    "LAST",
    "PHASES",
    "SETTINGS",
    "WATCHED",
    "AnchorNotFound",
    "CannotGoBack",
    "Change",
    "Checkout",
    "Evidence",
    "Finding",
    "LocalChanges",
    "MigrationRefused",
    "NotACheckout",
    "NotWritable",
    "Plan",
    "Region",
    "UnfitFile",
    "evidence",
    "phase_of",
    "plan",
    "reached",
]
