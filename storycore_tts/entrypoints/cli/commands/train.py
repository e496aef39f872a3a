"""``storycore-tts train``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from storycore_tts.domain.presets import TRAINING_PRESETS, training_preset
from storycore_tts.entrypoints.cli import console, progress, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import BackendFlags, Reporting, TrainingFlags, of_size

if TYPE_CHECKING:
    from storycore_tts.domain.requests import TrainingRequest
    from storycore_tts.domain.speech import TrainedVoice
    from storycore_tts.services.training_times import TrainingEstimate
    from storycore_tts.settings import QwenTTSConfig


def train(
    audio_folder: Annotated[
        str,
        Argument(
            metavar="AUDIO_FOLDER",
            help="Recordings, each with its transcript in a .txt of the same name.",
        ),
    ],
    *,
    output_dir: Annotated[
        str, Option("--output-dir", metavar="FOLDER", help="Folder for the checkpoints.")
    ],
    speaker_name: Annotated[
        str, Option("--speaker-name", metavar="NAME", help="Name of the new voice.")
    ],
    language: Annotated[
        str, Option("--language", "-l", metavar="NAME", help="Language of the recordings.")
    ] = "English",
    test_text: Annotated[
        str | None,
        Option("--test-text", metavar="TEXT", help="Text of the validation samples."),
    ] = None,
    preset: Annotated[
        str | None,
        Option(
            "--preset",
            metavar="NAME",
            help=f"Model size, epochs and learning rate: {', '.join(TRAINING_PRESETS)}.",
        ),
    ] = None,
    estimate: Annotated[
        bool,
        Option("--estimate", help="Only estimate the duration, from earlier training jobs."),
    ] = False,
    training: TrainingFlags,
    backend: BackendFlags,
    reporting: Reporting,
) -> None:
    """Train a voice on recordings of one speaker.

    Both folders are paths on the backend's machine; if the dataset exists on this machine, both
    paths are made absolute. Prints the path of the checkpoint, for say --checkpoint.
    """
    from storycore_tts.domain.requests import TrainingRequest

    chosen = None if preset is None else training_preset(preset)
    if chosen is not None:
        backend = of_size(backend, chosen.model_choice, preset)
    config = settings.load(backend).config
    usual = {"model_choice": config.model_choice, **config.training.model_dump()}
    dataset, checkpoints = _as_the_backend_sees(audio_folder, output_dir)
    said: dict[str, Any] = {} if test_text is None else {"test_text": test_text}
    request = TrainingRequest(
        dataset=dataset,
        output_dir=checkpoints,
        speaker_name=speaker_name,
        language=language,
        **said,
        **{**(usual if chosen is None else chosen.over(usual)), **training.values},
    )
    if estimate:
        _report_estimate(run_async(_estimate(request, config)), reporting)
        return
    _report(run_async(_train(request, config, reporting)), reporting)


async def _train(
    request: TrainingRequest, config: QwenTTSConfig, reporting: Reporting
) -> TrainedVoice:
    from storycore_tts.container import open_tts

    async with open_tts(config) as tts:
        with progress.shown(quiet=reporting.quiet) as shown:
            return await tts.train(request, on_progress=shown.progress)


async def _estimate(request: TrainingRequest, config: QwenTTSConfig) -> TrainingEstimate:
    import asyncio

    from storycore_tts.container import open_tts

    async with open_tts(config) as tts:
        return await asyncio.to_thread(tts.estimate_training_time, request)


def _report_estimate(estimate: TrainingEstimate, reporting: Reporting) -> None:
    if reporting.as_json:
        console.answer_json(asdict(estimate))
    else:
        console.answer(str(estimate))


def _report(voice: TrainedVoice, reporting: Reporting) -> None:
    for warning in voice.warnings:
        console.tell(f"warning: {warning}")
    if not reporting.quiet:
        loss = f", loss {voice.loss_history[-1]:.3f}" if voice.loss_history else ""
        console.tell(f"{voice.speaker_name}: {voice.epochs} epochs{loss}")
    if reporting.as_json:
        console.answer_json(asdict(voice))
    else:
        console.answer(voice.checkpoint_path)


def _as_the_backend_sees(dataset: str, output_dir: str) -> tuple[str, str]:
    """Make both paths absolute if the dataset exists here; a server has another working folder."""
    from storycore_tts.services.files import is_folder

    if not is_folder(dataset) or not output_dir:
        return dataset, output_dir
    return str(Path(dataset).absolute()), str(Path(output_dir).absolute())
