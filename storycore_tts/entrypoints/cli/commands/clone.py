"""``storycore-tts clone``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from storycore_tts.domain.presets import CLONE_PRESETS, clone_preset
from storycore_tts.entrypoints.cli import inputs, results, settings
from storycore_tts.entrypoints.cli.options import (
    BackendFlags,
    DisclosureFlags,
    Output,
    RefText,
    RefTextFile,
    Reporting,
    SamplingFlags,
    StripMarkup,
    TextFile,
    Use,
    of_size,
)


def clone(
    ref_audio: Annotated[
        Path,
        Argument(metavar="REF_AUDIO", help="Recording of the voice; 3 to 15 seconds work best."),
    ],
    text: Annotated[
        str | None, Argument(metavar="[TEXT]", help='Text to speak; "-" reads it from stdin.')
    ] = None,
    *,
    text_file: TextFile = None,
    ref_text: RefText = None,
    ref_text_file: RefTextFile = None,
    x_vector_only: Annotated[
        bool,
        Option("--x-vector-only", help="Clone the timbre only; the default without a transcript."),
    ] = False,
    preset: Annotated[
        str | None,
        Option(
            "--preset",
            metavar="NAME",
            help=f"Model size, and whether a transcript is used: {', '.join(CLONE_PRESETS)}.",
        ),
    ] = None,
    language: Annotated[
        str | None,
        Option("--language", "-l", metavar="NAME", help="Name, code or locale: French, fr, fr-FR."),
    ] = None,
    checkpoint: Annotated[
        str | None,
        Option(
            "--checkpoint", metavar="FOLDER", help="Another Base model, as the backend sees it."
        ),
    ] = None,
    instruct: Annotated[
        str,
        Option(
            "--instruct", metavar="WORDS", help="Style instruction, if the backend supports it."
        ),
    ] = "",
    consent: Annotated[
        str,
        Option(
            "--consent",
            metavar="TEXT",
            help="Who consented to the use of the recording, and when.",
        ),
    ] = "",
    strip_markup: StripMarkup = None,
    use: Use,
    output: Output,
    disclosure: DisclosureFlags,
    sampling: SamplingFlags,
    backend: BackendFlags,
    reporting: Reporting,
) -> None:
    """Speak a text with a voice cloned from a recording.

    Prints the path of the audio file.
    """
    from storycore_tts.domain.requests import CloneRequest, ReferenceAudio

    chosen = None if preset is None else clone_preset(preset)
    if chosen is not None:
        backend = of_size(backend, chosen.model_choice, preset)
        x_vector_only = x_vector_only or chosen.x_vector_only
    config = settings.load(backend).config
    transcript = inputs.transcript(ref_text, ref_text_file)
    reference = ReferenceAudio.from_file(ref_audio, transcript=transcript)
    request = CloneRequest(
        text=inputs.text_to_say(text, text_file),
        reference=reference,
        x_vector_only=x_vector_only or reference.transcript is None,
        language=config.default_language if language is None else language,
        sampling=sampling.over(config),
        checkpoint=checkpoint,
        instruct=instruct,
        consent=consent,
        project=use.project,
        purpose=use.purpose,
        strip_markup=config.strip_markup if strip_markup is None else strip_markup,
    )
    results.make_speech(
        request,
        config=config,
        stem="clone",
        output=output,
        disclosure=disclosure,
        reporting=reporting,
    )
