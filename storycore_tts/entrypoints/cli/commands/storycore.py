"""``storycore-tts storycore``: work on StoryCore-Engine's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

from storycore_tts.entrypoints.cli import console, failures, settings
from storycore_tts.entrypoints.cli.groups import add_command
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import BackendFlags, Reporting
from storycore_tts.errors import InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.entrypoints.storycore import SpokenScene

app = Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Process files of StoryCore-Engine.",
)

_COLUMNS = ("Start", "End", "Character", "Voice", "File", "")


def speak_scene(
    dialogue: Annotated[
        Path, Argument(metavar="DIALOGUE", help="data/dialogues/SCENE.json of the engine.")
    ],
    *,
    out: Annotated[
        Path | None,
        Option(
            "--out", "-o", metavar="FOLDER", help="Folder for the files.  [default: output/SCENE]"
        ),
    ] = None,
    concurrency: Annotated[
        int, Option("--concurrency", metavar="N", min=1, max=64, help="Lines generated at once.")
    ] = 4,
    engine: Annotated[
        str | None,
        Option("--engine", metavar="URL", help="Post the clips to the engine at this address."),
    ] = None,
    project: Annotated[
        str | None, Option("--project", metavar="ID", help="The engine's project; with --engine.")
    ] = None,
    track: Annotated[
        str | None, Option("--track", metavar="ID", help="Track of that project.")
    ] = None,
    token: Annotated[
        str | None,
        Option(
            "--token",
            metavar="TOKEN",
            envvar="STORYCORE_ENGINE_TOKEN",
            help="Sent to the engine as a bearer token.",
        ),
    ] = None,
    backend: BackendFlags,
    reporting: Reporting,
) -> int:
    """Generate a dialogue, each line in its character's voice and its own file.

    Lists the lines with their times in seconds; scene.json contains them as clips and audio tracks
    of the engine. Lines that fail are reported, and the others are kept; when run again, only
    missing or changed lines are generated. With --engine, the clips are posted once all lines are
    complete.
    """
    from storycore_tts.entrypoints.storycore import speak_scene as speak

    if engine and not (project and track):
        raise InvalidRequest("--engine needs --project and --track.")
    config = settings.load(backend).config
    track_id = track or "dialogue"
    scene = run_async(
        speak(dialogue, config=config, out=out, track_id=track_id, concurrency=concurrency)
    )
    _tell(scene, quiet=reporting.quiet)
    if engine and project and not scene.failed:
        _post(scene, engine, project, track_id, token)
    if reporting.as_json:
        console.answer_json(scene.as_json())
    else:
        _list(scene)
    return failures.exit_status(scene.failed[0].error) if scene.failed else 0


add_command(app, speak_scene)


def _tell(scene: SpokenScene, *, quiet: bool) -> None:
    for warning in scene.warnings:
        console.tell(f"warning: {warning}")
    notes: dict[str, list[int]] = {}
    for take in scene.takes:
        for warning in take.warnings:
            notes.setdefault(warning, []).append(take.line.number)
    for warning, numbers in notes.items():
        console.tell(f"warning: {warning} (line {', '.join(map(str, numbers))})")
    for one in scene.failed:
        line = one.line
        named = f"line {line.number} ({line.id or line.character.called})"
        console.tell(f"error: {named} was not spoken: {one.error}")
    if not quiet:
        spoken = sum(take.is_new for take in scene.takes)
        console.tell(
            f"{spoken} spoken, {len(scene.takes) - spoken} kept, {len(scene.failed)} failed; "
            f"{scene.duration:.1f} s, in {scene.folder}"
        )


def _post(scene: SpokenScene, engine: str, project: str, track: str, token: str | None) -> None:
    from storycore_tts.adapters.engine.timeline import post_clips

    ids = run_async(post_clips(engine, project, track, scene.clips, token=token))
    console.tell(f"{len(ids)} clips posted to {engine}")


def _list(scene: SpokenScene) -> None:
    rows = [
        (
            f"{clip['start_time']:.3f}",
            f"{clip['end_time']:.3f}",
            take.line.character.called,
            take.speaker,
            str(take.path),
            "new" if take.is_new else "kept",
        )
        for clip, take in zip(scene.clips, scene.takes, strict=True)
    ]
    console.answer_rows(_COLUMNS, rows)
