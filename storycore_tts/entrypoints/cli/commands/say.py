"""``storycore-tts say``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from storycore_tts.domain.presets import STYLES, style_instruct
from storycore_tts.entrypoints.cli import inputs, results, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import (
    BackendFlags,
    DisclosureFlags,
    Output,
    Reporting,
    SamplingFlags,
    StripMarkup,
    TextFile,
    Use,
)
from storycore_tts.errors import InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.domain.requests import CloneRequest, SpeechRequest
    from storycore_tts.settings import QwenTTSConfig


def say(
    text: Annotated[
        str | None, Argument(metavar="[TEXT]", help='Text to speak; "-" reads it from stdin.')
    ] = None,
    *,
    text_file: TextFile = None,
    speaker: Annotated[
        str | None,
        Option(
            "--speaker", "-s", metavar="NAME", help="Name of a voice; see storycore-tts speakers."
        ),
    ] = None,
    language: Annotated[
        str | None,
        Option("--language", "-l", metavar="NAME", help="Name, code or locale: French, fr, fr-FR."),
    ] = None,
    instruct: Annotated[
        str, Option("--instruct", metavar="WORDS", help="Style instruction (1.7B only).")
    ] = "",
    style: Annotated[
        str | None, Option("--style", metavar="NAME", help=f"Style: {', '.join(STYLES)}.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        Option(
            "--checkpoint",
            metavar="FOLDER",
            help="Fine-tuned model, as the backend sees it; --speaker names its voice.",
        ),
    ] = None,
    strip_markup: StripMarkup = None,
    use: Use,
    output: Output,
    disclosure: DisclosureFlags,
    sampling: SamplingFlags,
    backend: BackendFlags,
    reporting: Reporting,
) -> None:
    """Speak a text with a built-in, stored or fine-tuned voice.

    Prints the path of the audio file.
    """
    config = settings.load(backend).config
    if checkpoint is not None and speaker is None:
        raise InvalidRequest(
            "--checkpoint needs --speaker.", hint="Use the name under which the voice was trained."
        )
    request = _request(
        config,
        inputs.text_to_say(text, text_file),
        speaker=speaker,
        checkpoint=checkpoint,
        language=language,
        instruct=_instruct(instruct, style),
        sampling=sampling.over(config),
        strip_markup=strip_markup,
        project=use.project,
        purpose=use.purpose,
    )
    results.make_speech(
        run_async(request),
        config=config,
        stem="voice",
        output=output,
        disclosure=disclosure,
        reporting=reporting,
    )


def _instruct(words: str, style: str | None) -> str:
    if style is None:
        return words
    if words:
        raise InvalidRequest("Give --instruct or --style, not both.")
    return style_instruct(style)


async def _request(config: QwenTTSConfig, text: str, **how: Any) -> SpeechRequest | CloneRequest:
    """Resolve the voice before anything is started."""
    from storycore_tts.container import open_tts

    async with open_tts(config) as tts:
        return await tts.request_for(text, **how)
