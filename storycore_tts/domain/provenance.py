"""Where speech comes from, as its sound file says."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import PureWindowsPath
from typing import Literal, TypeAlias

from storycore_tts.__about__ import __version__
from storycore_tts.sound.tags import Tags

SourceType: TypeAlias = Literal["trainedAlgorithmicMedia", "algorithmicMedia"]
"""IPTC's digital source type: speech of a trained model, or of a rule-based synthesizer."""

GENERATOR = f"storycore-tts/{__version__}"


def tags_for(
    source_type: SourceType,
    created: datetime,
    *,
    model: str = "",
    checkpoint: str | None = None,
    job_id: str | None = None,
    voice: str = "",
    text: str = "",
) -> Tags:
    """Return the tags of a sound file.

    Args:
        source_type: How the speech was made.
        created: When, with a time zone.
        model: Model or checkpoint; "" if unknown. The file never names a folder of the user.
        checkpoint: Folder of a fine-tuned model, if one was used.
        job_id: Id of the job; None if there was none.
        voice: Name of the voice, only if the user asked to publish it.
        text: The spoken text, only if the user asked to publish it.
    """
    moment = created.astimezone(timezone.utc).isoformat(timespec="seconds")
    if checkpoint or PureWindowsPath(model).root:  # "/models/mine" or "C:\\mine"
        model = "custom"
    facts = (("model", model), ("job", job_id or ""), ("voice", voice), ("text", text))
    known = tuple((name, value) for name, value in facts if value)
    return Tags(source_type, GENERATOR, moment, known)
