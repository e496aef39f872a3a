"""Why a migration is refused.

::

    InvalidRequest
    └── MigrationRefused
        ├── NotACheckout     the folder holds no StoryCore-Engine
        ├── NotInGit         git could not take the changes back
        ├── AnchorNotFound   the place that an edit belongs to is not there
        ├── LocalChanges     a file that would be written holds changes that are not committed
        ├── UnfitFile        a link, an encoding or a syntax that cannot be edited safely
        └── CannotGoBack     the phase was not reached by our edits, or git lacks what was there

Nothing was written when one of them is raised.
"""

from __future__ import annotations

from storycore_tts.domain.errors import InvalidRequest


class MigrationRefused(InvalidRequest):
    """The checkout cannot be taken to the phase that was asked for."""


class NotACheckout(MigrationRefused):
    """The folder holds no StoryCore-Engine."""


class NotInGit(MigrationRefused):
    """The folder, or a file of it, is not under git, which is what takes changes back."""


class AnchorNotFound(MigrationRefused):
    """The place that an edit belongs to is not in the file."""


class LocalChanges(MigrationRefused):
    """A file that would be written holds changes that are neither committed nor ours."""


class UnfitFile(MigrationRefused):
    """A file that cannot be edited without the danger of damaging it."""


class CannotGoBack(MigrationRefused):
    """The phase was not reached by edits of ours, or git lacks what they replaced."""
