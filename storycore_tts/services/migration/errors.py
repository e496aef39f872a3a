"""Why a migration is refused; nothing was written when one of these is raised."""

from __future__ import annotations

from storycore_tts.errors import InvalidRequest


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
