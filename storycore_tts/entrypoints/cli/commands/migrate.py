"""``storycore-tts migrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from storycore_tts.entrypoints.cli import console
from storycore_tts.entrypoints.cli.options import Reporting
from storycore_tts.errors import ConfigurationError, InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.services.migration import Checkout, Evidence, Lines, Plan


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
        bool, Option("--write", help="Write the changes; without it, they are only shown.")
    ] = False,
    requirement: Annotated[
        str | None,
        Option(
            "--requirement",
            metavar="ADDRESS",
            help="What requirements.txt should install: the URL of a wheel or git, or a path."
            "  [default: where this package was installed from]",
        ),
    ] = None,
    rollout: Annotated[
        float | None,
        Option(
            "--rollout",
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of requests sent to ComfyUI, the rest to direct; overrides backend."
            "  [default: backend decides]",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        Option(
            "--config",
            metavar="FILE",
            help="YAML file in the checkout for tts.qwen.  [default: data/storycore-tts.yaml]",
        ),
    ] = None,
    reporting: Reporting,
) -> None:
    """Migrate a checkout of StoryCore-Engine to this package, phase by phase.

    Prints the current phase with its evidence, and the changes of the next phase as a diff: 1
    alongside, 2 feature flag, 3 old modules hand on, 4 direct deprecated. --write applies them. The
    checkout must be under git, so that changes can be undone.
    """
    from storycore_tts.entrypoints.checkout import open_checkout
    from storycore_tts.entrypoints.checkout import write as write_all
    from storycore_tts.services.migration import evidence, plan

    if undo and to is not None:
        raise InvalidRequest(
            "--undo goes back one phase, --to N goes to a given one: use one of them."
        )
    opened = open_checkout(checkout, _usual_lines(), config.as_posix() if config else None)
    found = evidence(opened.now)
    if not reporting.as_json:
        _tell_phase(found)
    asked = _asked_lines(opened.now, requirement, rollout)
    planned = plan(opened.now, opened.committed, _target(opened.now, to, undo=undo), asked)
    _check_settings(planned)
    written = write and write_all(opened, planned)
    if reporting.as_json:
        console.answer_json(_as_json(opened.root, planned, found, written))
        return
    _tell_changes(planned)
    if write:
        console.tell("written; git status and git diff show it" if written else "nothing to write")
    elif planned.changes:
        console.tell("Nothing was written; --write does it.")


def _usual_lines() -> Lines:
    from storycore_tts.entrypoints.cli.requirement import requirement_line
    from storycore_tts.services.migration import REQUIREMENT_STEP, SETTINGS_STEP, USUAL_SETTINGS

    return {REQUIREMENT_STEP: [requirement_line()], SETTINGS_STEP: USUAL_SETTINGS}


def _asked_lines(checkout: Checkout, address: str | None, rollout: float | None) -> Lines:
    from storycore_tts.entrypoints.cli.requirement import requirement_line
    from storycore_tts.services.migration import REQUIREMENT_STEP, SETTINGS_STEP

    asked = {} if address is None else {REQUIREMENT_STEP: [requirement_line(address)]}
    if rollout is not None:
        said = checkout.written().get(SETTINGS_STEP, checkout.lines[SETTINGS_STEP])
        others = [line for line in said if not line.lstrip().startswith("rollout:")]
        line = f"    rollout: {rollout}  # what goes to ComfyUI, the rest to direct"
        asked[SETTINGS_STEP] = [*others, line]
    return asked


def _target(checkout: Checkout, to: int | None, *, undo: bool) -> int:
    from storycore_tts.services.migration import LAST, evidence, phase_of, reached

    if to is not None:
        return to
    if undo:
        return max(reached(checkout) - 1, 0)
    return min(phase_of(evidence(checkout)) + 1, LAST)


def _check_settings(planned: Plan) -> None:
    """Check that the package accepts the settings before they are written."""
    import tempfile

    from storycore_tts.settings import load_config

    path = planned.after.settings
    text = planned.after.texts.get(path)
    if text is None or text == planned.before.texts.get(path):
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "settings.yaml"
        copy.write_bytes(text.encode("latin-1"))
        try:
            load_config(copy, environ={})
        except ConfigurationError as error:
            raise ConfigurationError(
                error.message.replace(str(copy), path), source=path, key=error.key, hint=error.hint
            ) from None


def _tell_phase(found: Evidence) -> None:
    from storycore_tts.services.migration import PHASES, phase_of

    number = phase_of(found)
    console.answer(f"phase {number}: {PHASES[number]}")
    for step, finding in found:
        done = "done" if finding.done else "open"
        where = finding.path if finding.line is None else f"{finding.path}:{finding.line}"
        console.answer(f"  {step.phase} {done}  {where}: {finding.says}")


def _tell_changes(planned: Plan) -> None:
    from storycore_tts.services.migration import PHASES

    for warning in planned.warnings:
        console.tell(f"warning: {warning}")
    if planned.changes:
        console.answer(f"\nto phase {planned.target}: {PHASES[planned.target]}\n")
        console.answer("".join(change.diff() for change in planned.changes).rstrip("\n"))


def _as_json(root: Path, planned: Plan, found: Evidence, written: bool) -> dict[str, Any]:
    from storycore_tts.services.migration import PHASES

    return {
        "checkout": str(root),
        "phase": planned.start,
        "title": PHASES[planned.start],
        "evidence": [
            {
                "phase": step.phase,
                "step": step.name,
                "done": finding.done,
                "path": finding.path,
                "line": finding.line,
                "says": finding.says,
            }
            for step, finding in found
        ],
        "target": planned.target,
        "changes": [
            {"path": change.path, "change": change.kind, "diff": change.diff()}
            for change in planned.changes
        ],
        "warnings": planned.warnings,
        "written": written,
    }
