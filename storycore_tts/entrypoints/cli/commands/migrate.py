"""``storycore-tts migrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from storycore_tts.domain.errors import ConfigurationError, InvalidRequest
from storycore_tts.entrypoints.cli import console
from storycore_tts.entrypoints.cli.options import Reporting

if TYPE_CHECKING:
    from storycore_tts.services.migration import Checkout, Evidence, Plan


def migrate(
    checkout: Annotated[
        Path, Argument(metavar="[CHECKOUT]", help="Folder of StoryCore-Engine.", show_default=".")
    ] = Path(),
    *,
    to: Annotated[
        int | None,
        Option("--to", metavar="N", help="Go to phase N, 0 to 4.  [default: the next one]"),
    ] = None,
    undo: Annotated[bool, Option("--undo", help="Go back one phase.")] = False,
    write: Annotated[
        bool, Option("--write", help="Change the files; without it, the changes are only shown.")
    ] = False,
    config: Annotated[
        Path | None,
        Option(
            "--config",
            metavar="FILE",
            help="YAML file of the checkout that holds tts.qwen.  [default: config/default.yaml]",
        ),
    ] = None,
    reporting: Reporting,
) -> None:
    """Take a checkout of StoryCore-Engine to this package, phase by phase.

    Says which phase it is in and why, and shows the changes of the next phase as a diff: 1
    alongside, 2 feature flag and rollout, 3 old modules hand on, 4 direct deprecated. With --write
    all of them are made, or none. Backups are kept in .storycore-tts-migration.
    """
    from storycore_tts.entrypoints.checkout import open_checkout, put_right, settings_path
    from storycore_tts.entrypoints.checkout import write as write_all
    from storycore_tts.services.migration import evidence, plan

    if undo and to is not None:
        raise InvalidRequest("--undo goes back one phase, --to N to a certain one: give one.")
    if put_right(checkout):
        console.tell("A migration that was cut off has been taken back.")
    opened = open_checkout(checkout, settings_path(checkout, config) if config else None)
    found = evidence(opened.checkout)
    if not reporting.as_json:
        _tell_phase(found)
    planned = plan(opened.checkout, _target(opened.checkout, to, undo=undo))
    _check_settings(planned)
    backup = write_all(opened, planned) if write else None
    if reporting.as_json:
        console.answer_json(_as_json(opened.root, planned, found, write, backup))
        return
    _tell_changes(planned)
    if write:
        console.tell(f"written; backups are in {backup}" if backup else "nothing to write")
    elif planned.changes:
        console.tell("Nothing was written; --write does it.")


def _target(checkout: Checkout, to: int | None, *, undo: bool) -> int:
    from storycore_tts.services.migration import LAST, evidence, phase_of, reached

    if to is not None:
        return to
    if undo:
        return max(reached(checkout) - 1, 0)
    return min(phase_of(evidence(checkout)) + 1, LAST)


def _check_settings(planned: Plan) -> None:
    """Refuse to write settings that the package would refuse to read."""
    import tempfile

    from storycore_tts.settings import load_config

    path = planned.after.settings
    text = planned.after.texts.get(path)
    if text is None or text == planned.before.texts.get(path):
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "settings.yaml"
        copy.write_text(text, encoding="utf-8")
        try:
            load_config(copy, environ={})
        except ConfigurationError as error:
            raise ConfigurationError(
                error.message.replace(str(copy), path), source=path, key=error.key, hint=error.hint
            ) from None


def _tell_phase(found: list[Evidence]) -> None:
    from storycore_tts.services.migration import PHASES, phase_of

    number = phase_of(found)
    console.answer(f"phase {number}: {PHASES[number]}")
    for item in found:
        console.answer(_line(item))


def _tell_changes(planned: Plan) -> None:
    from storycore_tts.services.migration import PHASES

    for warning in planned.warnings:
        console.tell(f"warning: {warning}")
    if planned.changes:
        console.answer(f"\nto phase {planned.target}: {PHASES[planned.target]}\n")
        console.answer("".join(change.diff() for change in planned.changes).rstrip("\n"))


def _line(item: Evidence) -> str:
    finding = item.finding
    done = "done" if finding.done else "open" if item.counts else "    "
    where = finding.path if finding.line is None else f"{finding.path}:{finding.line}"
    return f"  {item.phase} {done}  {where}: {finding.says}"


def _as_json(
    root: Path, planned: Plan, found: list[Evidence], write: bool, backup: Path | None
) -> dict[str, Any]:
    from storycore_tts.services.migration import PHASES

    return {
        "checkout": str(root),
        "phase": planned.start,
        "title": PHASES[planned.start],
        "evidence": [
            {
                "phase": item.phase,
                "step": item.name,
                "required": item.counts,
                "done": item.finding.done,
                "path": item.finding.path,
                "line": item.finding.line,
                "says": item.finding.says,
            }
            for item in found
        ],
        "target": planned.target,
        "changes": [
            {"path": change.path, "change": change.kind, "diff": change.diff()}
            for change in planned.changes
        ],
        "warnings": planned.warnings,
        "written": write and backup is not None,
        "backup": backup and str(backup),
    }
