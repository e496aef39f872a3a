"""``storycore-tts voices consent``: exports and imports consent records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from storycore_tts.entrypoints.cli import console, inputs, settings
from storycore_tts.entrypoints.cli.groups import add_command
from storycore_tts.entrypoints.cli.options import Reporting, Settings
from storycore_tts.errors import InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.services.voices import VoiceLibrary

app = Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Export and import the records of consent.",
)

_FORMAT = 1  # of exported files


def export(
    name: Annotated[str, Argument(metavar="NAME", help="Name of the voice, in any case.")],
    where: Settings,
    reporting: Reporting,
) -> None:
    """Print the record of a voice's consent as JSON: no recording, no transcript."""
    voice = library(where).get(name)
    if voice.consent_record is None:
        raise InvalidRequest(f"The voice {voice.name!r} has no consent.")
    record = voice.consent_record.to_json()
    console.answer_json({"format": _FORMAT, "voice": voice.name, "consent": record})


def import_(
    file: Annotated[Path, Argument(metavar="FILE", help="A file from export.")],
    *,
    name: Annotated[
        str | None,
        Option("--name", metavar="NAME", help="The stored voice.  [default: as in the file]"),
    ] = None,
    where: Settings,
    reporting: Reporting,
) -> None:
    """Replace the consent of a stored voice by the one in a file.

    The voice must have the recording that the consent was given for. Prints the name of the voice.
    """
    from storycore_tts.domain.consent import Consent
    from storycore_tts.services.voice_files import UNREADABLE

    text = inputs.text_in(file)
    try:
        document: dict[str, Any] = json.loads(text)
        if document["format"] != _FORMAT:
            raise ValueError(f"unknown format {document['format']!r}")
        consent = Consent.from_json(document["consent"])
        name = document["voice"] if name is None else name
    except UNREADABLE as error:
        raise InvalidRequest(
            f"{file} holds no record of a consent: {error}.",
            hint="Make one with storycore-tts voices consent export NAME.",
        ) from error
    voice = library(where).replace_consent(name, consent)
    if reporting.as_json:
        console.answer_json({"voice": voice.name, "consent": consent.to_json()})
    else:
        console.answer(voice.name)


def library(where: Settings) -> VoiceLibrary:
    """Return the voice library of the settings.

    Args:
        where: Options for the settings file.
    """
    # Created without the container, whose import would make the command slow.
    from storycore_tts.services.voices import VoiceLibrary

    return VoiceLibrary(settings.load(where).config.voices_dir)


for _function in (export, import_):
    add_command(app, _function)
