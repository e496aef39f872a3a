"""Speech in a file: made, written, and told about."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storycore_tts.entrypoints.cli import console, progress
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import Output, Reporting

if TYPE_CHECKING:
    from storycore_tts.domain.requests import CloneRequest, SpeechRequest
    from storycore_tts.domain.speech import Speech
    from storycore_tts.settings import QwenTTSConfig


def make_speech(
    request: SpeechRequest | CloneRequest,
    *,
    config: QwenTTSConfig,
    stem: str,
    output: Output,
    reporting: Reporting,
) -> None:
    """Reserve a file, make the speech that goes into it, and print where it is.

    Args:
        request: What is to be said, and by whom.
        config: Settings in force.
        stem: How a new file's name begins.
        output: Where the user wants the file.
        reporting: What the user wants to hear.
    """
    from storycore_tts.container import Container

    container = Container(config=config)
    folder = container.audio_folder()
    target = folder.reserve(output.out, stem=stem)

    async def work() -> Speech:
        service = container.service()
        try:
            with progress.shown(quiet=reporting.quiet) as on_progress:
                speech = await service.speak(request, on_progress=on_progress)
            await folder.write(speech, target)
        finally:
            await service.aclose()
        return speech

    try:
        speech = run_async(work())
    except BaseException:
        if output.out is None and config.output_dir is None:
            with suppress(OSError):  # the temporary folder that was made for the file
                target.parent.rmdir()
        raise
    report(speech, target, reporting)


def report(speech: Speech, path: Path, reporting: Reporting) -> None:
    """Print the path, or everything as JSON, on stdout; doubts and a summary on stderr."""
    for warning in speech.warnings:
        console.tell(f"warning: {warning}")
    if not reporting.quiet:
        console.tell(summary(speech))
    if reporting.as_json:
        console.answer_json(as_json(speech, path))
    else:
        console.answer(str(path))


def summary(speech: Speech) -> str:
    """Return one line on how the speech was made."""
    seed = "" if speech.seed is None else f", seed {speech.seed}"
    model = speech.model or "a model that is not known"
    return f"{speech.duration:.1f} s, {model} on {speech.backend}{seed}"


def as_json(speech: Speech, path: Path) -> dict[str, Any]:
    """Return all that is known of the speech, without its samples; durations in seconds."""
    return {
        "path": str(path),
        "duration": speech.duration,
        "sample_rate": speech.sample_rate,
        "backend": speech.backend,
        "model": speech.model,
        "speaker": speech.speaker,
        "language": speech.language,
        "seed": speech.seed,
        "finish_reason": speech.finish_reason,
        "x_vector_only": speech.x_vector_only,
        "timings": asdict(speech.timings),
        "warnings": list(speech.warnings),
    }
