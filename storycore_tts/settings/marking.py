"""How sound files are marked as synthetic speech."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storycore_tts.settings.block import SettingsBlock


class MarkingConfig(SettingsBlock):
    """Marking of sound files as synthetic speech: tags, signature, watermark."""

    off_because: Annotated[str, Field(min_length=10)] | None = None
    """Reason for not marking files at all, which is logged; None: files are marked."""
    publish: list[Literal["text", "voice"]] = Field(default_factory=list)
    """What files may tell besides how they were made: text, voice, or both."""

    @property
    def notice(self) -> str | None:
        """What to tell users if files are not marked; None if they are."""
        if self.off_because is None:
            return None
        return f"Sound files are not marked as synthetic speech: {self.off_because}"
