"""Generates speech, writes it to a file and reports it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storycore_tts.domain.disclosure import CAPTION_SUFFIXES, Notice, caption, default_notice
from storycore_tts.entrypoints.cli import backends, console, progress
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import DisclosureFlags, Output, Reporting
from storycore_tts.entrypoints.cli.targets import Target, target_of
from storycore_tts.errors import BackendUnavailable, InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.domain.requests import CloneRequest, SpeechRequest
    from storycore_tts.domain.speech import Speech
    from storycore_tts.services.rendering import Rendering
    from storycore_tts.services.speech import TextToSpeech
    from storycore_tts.settings import QwenTTSConfig

_CAPTION_SECONDS = 4.0  # of a caption without a spoken notice


def make_speech(
    request: SpeechRequest | CloneRequest,
    *,
    config: QwenTTSConfig,
    stem: str,
    output: Output,
    disclosure: DisclosureFlags,
    reporting: Reporting,
) -> None:
    """Generate speech, write it to its target and print the path.

    Args:
        request: The request.
        config: The settings.
        stem: Prefix for the name of a new file.
        output: Target, speed and pitch.
        disclosure: Notices that the audio was generated.
        reporting: Options for messages.

    Raises:
        InvalidRequest: The target cannot be written to; raised before anything is generated.
    """
    import asyncio

    container = backends.container_of(config, debug=reporting.debug)
    rendering = _rendering(output)
    announced = _Announcement(disclosure, request, force=output.force)
    folder = container.audio_folder()
    target = target_of(output, folder=folder, text=request.text, stem=stem)
    if target.path is None and reporting.as_json:
        raise InvalidRequest("--json and --out - both write to stdout.", hint="Use one of them.")

    async def work() -> Speech:
        service = container.service()
        try:
            with progress.shown(quiet=reporting.quiet) as shown, shown.tries_of(container):
                notice = await announced.spoken(service)
                speech = await service.speak(request, on_progress=shown.progress)
            speech = await asyncio.to_thread(rendering.rendered, speech)
            speech = announced.before(speech, notice)
            await target.write(speech, folder)
            await asyncio.to_thread(announced.write_caption, speech)
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


class _Announcement:
    """The notices that the audio was generated.

    Args:
        disclosure: The options of the user.
        line: The line.
        force: Whether to overwrite an existing caption.

    Raises:
        InvalidRequest: The notice is empty, or the caption cannot be written.
    """

    def __init__(
        self, disclosure: DisclosureFlags, line: SpeechRequest | CloneRequest, *, force: bool
    ) -> None:
        self._disclosure, self._line = disclosure.wanted, line
        self._caption = disclosure.caption
        if self._caption is None:
            return
        if self._caption.suffix.lower() not in CAPTION_SUFFIXES:
            raise InvalidRequest(
                f"{self._caption} is not a subtitle file.", hint="Use .srt or .vtt."
            )
        if self._caption.exists() and not force:
            raise InvalidRequest(
                f"The file {self._caption} already exists.", hint="Use --force to overwrite it."
            )
        if not self._caption.absolute().parent.is_dir():
            raise InvalidRequest(f"There is no folder {self._caption.absolute().parent}.")

    async def spoken(self, service: TextToSpeech) -> Speech | None:
        """Generate the notice before the line, which costs nothing if this fails."""
        from storycore_tts.services.disclosure import spoken_notice

        if self._disclosure is None:
            return None
        return await spoken_notice(service, self._disclosure, self._line)

    def before(self, speech: Speech, notice: Speech | None) -> Speech:
        """Return the speech with the notice in front of it."""
        from storycore_tts.services.disclosure import disclosed

        return speech if notice is None else disclosed(speech, notice)

    def write_caption(self, speech: Speech) -> None:
        """Write the notice as subtitles; if it is not heard, it is shown for some seconds."""
        from storycore_tts.services.output import write_file

        if self._caption is None:
            return
        shown = Notice(default_notice(self._line.language), min(_CAPTION_SECONDS, speech.duration))
        text = caption(speech.notice or shown, self._caption.suffix.lower())
        write_file(self._caption, text.encode())


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
        "disclosure": speech.notice and speech.notice.to_json(),
    }
