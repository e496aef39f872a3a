"""``storycore-tts say``."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.entrypoints.cli import inputs, results, settings
from storycore_tts.entrypoints.cli.options import Backend, Output, Reporting, SamplingOptions


def say(
    text: Annotated[
        str, Argument(metavar="TEXT", help='What to say; "-" reads it from stdin, as UTF-8.')
    ],
    *,
    speaker: Annotated[
        str | None,
        Option("--speaker", "-s", metavar="NAME", help="A voice; see storycore-tts speakers."),
    ] = None,
    language: Annotated[
        str | None,
        Option("--language", "-l", metavar="NAME", help="Name, code or locale: French, fr, fr-FR."),
    ] = None,
    instruct: Annotated[
        str, Option("--instruct", metavar="WORDS", help="How to say it (1.7B only).")
    ] = "",
    checkpoint: Annotated[
        str | None,
        Option(
            "--checkpoint",
            metavar="FOLDER",
            help="Fine-tuned model, as the backend sees it; --speaker names its voice.",
        ),
    ] = None,
    output: Output,
    sampling: SamplingOptions,
    backend: Backend,
    reporting: Reporting,
) -> None:
    """Speak a text, in a built-in voice or in that of a fine-tuned model.

    Prints the path of the audio file.
    """
    from storycore_tts.domain.requests import SpeechRequest

    config = settings.load(backend).config
    if checkpoint is not None and speaker is None:
        raise InvalidRequest(
            "--checkpoint needs --speaker.", hint="It is the name that the voice was trained under."
        )
    request = SpeechRequest(
        text=inputs.text_of(text),
        speaker=config.default_speaker if speaker is None else speaker,
        checkpoint=checkpoint,
        language=config.default_language if language is None else language,
        instruct=instruct,
        sampling=sampling.over(config),
    )
    results.make_speech(
        lambda tts, on_progress: tts.synthesize(request, on_progress=on_progress),
        config=config,
        stem="voice",
        output=output,
        reporting=reporting,
    )
