"""The ledger of generated sound files."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from storycore_tts.settings.block import SettingsBlock


class LedgerConfig(SettingsBlock):
    """The ledger: a record of each sound file that was made, without its content."""

    enabled: bool = False
    """Whether sound files are recorded."""
    path: Annotated[str, Field(min_length=1)] | None = None
    """File of the records; None: ``ledger.jsonl`` in the user data folder of this program."""
    keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Days after which records are removed; None: never."""
    required: bool = False
    """Whether a sound file that cannot be recorded is an error; otherwise a warning is logged."""
