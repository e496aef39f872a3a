"""Errors of a migration, raised before anything is written."""

from __future__ import annotations

from storycore_tts.errors import InvalidRequest


class MigrationRefused(InvalidRequest):
    """The checkout cannot be migrated to the requested phase."""


class NotACheckout(MigrationRefused):
    """The folder is not a StoryCore-Engine checkout."""


class NotInGit(MigrationRefused):
    """The folder, or a file in it, is not under git, which is needed to undo changes."""


class AnchorNotFound(MigrationRefused):
    """The file has no place for an edit."""


class LocalChanges(MigrationRefused):
    """A file to be written has uncommitted changes that are not ours."""


class UnfitFile(MigrationRefused):
    """A file cannot be edited safely."""


class CannotGoBack(MigrationRefused):
    """The phase was not reached by our edits, or git lacks the contents that they replaced."""
