"""Why a migration is refused.

::

    InvalidRequest
    └── MigrationRefused
        ├── NotACheckout     the folder holds no StoryCore-Engine
        ├── AnchorNotFound   the place that an edit belongs to is not there
        ├── LocalChanges     somebody changed lines, or a file, that we would overwrite
        ├── UnfitFile        a link, an encoding or a syntax that cannot be edited safely
        └── CannotGoBack     the phase was not reached by our edits, or their record is gone
    StorageFailed
    └── NotWritable          a file or a folder is read-only

Nothing was written when one of them is raised.
"""

from __future__ import annotations

from storycore_tts.domain.errors import InvalidRequest, StorageFailed


class MigrationRefused(InvalidRequest):
    """The checkout cannot be taken to the phase that was asked for."""


class NotACheckout(MigrationRefused):
    """The folder holds no StoryCore-Engine."""


class AnchorNotFound(MigrationRefused):
    """The place that an edit belongs to is not in the file."""


class LocalChanges(MigrationRefused):
    """Lines between our marks, or a file that we would overwrite, were changed by somebody."""


class UnfitFile(MigrationRefused):
    """A file that cannot be edited without the danger of damaging it."""


class CannotGoBack(MigrationRefused):
    """The phase was not reached by edits of ours, or their record is gone."""


class NotWritable(StorageFailed):
    """A file or a folder of the checkout is read-only."""
