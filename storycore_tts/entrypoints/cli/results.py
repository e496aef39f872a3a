"""Generates speech, writes it to a file and reports it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storycore_tts.entrypoints.cli import backends, console, progress
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import Output, Reporting
from storycore_tts.entrypoints.cli.targets import Target, target_of
from storycore_tts.errors import BackendUnavailable, InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.domain.requests import CloneRequest, SpeechRequest
    from storycore_tts.domain.speech import Speech
    from storycore_tts.services.rendering import Rendering
    from storycore_tts.settings import QwenTTSConfig


def make_speech(
    request: SpeechRequest | CloneRequest,
    *,
    config: QwenTTSConfig,
    stem: str,
    output: Output,
    reporting: Reporting,
) -> None:
    """Generate speech, write it to its target and print the path.

    Args:
        request: The request.
        config: The settings.
        stem: Prefix for the name of a new file.
        output: Target, speed and pitch.
        reporting: Options for messages.

    Raises:
        InvalidRequest: The target cannot be written to; raised before anything is generated.
    """
    import asyncio

    container = backends.container_of(config, debug=reporting.debug)
    rendering = _rendering(output)
    folder = container.audio_folder()
    target = target_of(output, folder=folder, text=request.text, stem=stem)
    if target.path is None and reporting.as_json:
        raise InvalidRequest("--json and --out - both write to stdout.", hint="Use one of them.")

    async def work() -> Speech:
        service = container.service()
        try:
            with progress.shown(quiet=reporting.quiet) as shown, shown.tries_of(container):
                speech = await service.speak(request, on_progress=shown.progress)
            speech = await asyncio.to_thread(rendering.rendered, speech)
            await target.write(speech, folder)
        finally:
            await service.aclose()
        return speech

    try:
        speech = run_async(work())
    except BackendUnavailable as error:
        raise backends.with_draft_hint(error, request, config) from error
    finally:
        _remove_empty(target, output, config)
    report(speech, target.path, reporting)


def _rendering(output: Output) -> Rendering:
    """Return how the audio is rendered, after a check that the packages for it are installed."""
    from storycore_tts.services.rendering import Rendering
    from storycore_tts.sound.ffmpeg import pyav

    rendering = Rendering(speed=output.speed, pitch=output.pitch)
    if rendering.changes_samples:
        pyav("Changing speed or pitch")
    return rendering


def _remove_empty(target: Target, output: Output, config: QwenTTSConfig) -> None:
    """Remove the temporary folder if no file was written to it."""
    if output.out is None and config.output_dir is None and target.path is not None:
        with suppress(OSError):  # not empty
            target.path.parent.rmdir()


def report(speech: Speech, path: Path | None, reporting: Reporting) -> None:
    """Print the path or JSON to stdout, warnings and a summary to stderr.

    Args:
        speech: The speech.
        path: Its file; None if it was written to stdout.
        reporting: Options for messages.
    """
    for warning in speech.warnings:
        console.tell(f"warning: {warning}")
    if not reporting.quiet:
        console.tell(summary(speech))
    if reporting.as_json:
        console.answer_json(as_json(speech, path))
    elif path is not None:
        console.answer(str(path))


def summary(speech: Speech) -> str:
    """Return a one-line summary of the speech."""
    seed = "" if speech.seed is None else f", seed {speech.seed}"
    model = speech.model or "unknown model"
    return f"{speech.duration:.1f} s, {model} on {speech.backend}{seed}"


def as_json(speech: Speech, path: Path | None) -> dict[str, Any]:
    """Return the metadata of the speech; durations in seconds.

    Args:
        speech: The speech.
        path: Its file, or None.
    """
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
