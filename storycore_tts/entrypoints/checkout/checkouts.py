"""A checkout as the migration's rules see it, and the way back to the disk."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from storycore_tts.entrypoints.checkout.files import (
    BYTEWISE,
    Rename,
    clear_draft,
    read,
    write_whole,
)
from storycore_tts.entrypoints.checkout.git import Git
from storycore_tts.errors import StorageFailed
from storycore_tts.services.migration import SETTINGS, WATCHED, Checkout, Lines, Plan
from storycore_tts.services.migration.errors import LocalChanges, NotACheckout, NotInGit

_OTHER_SETTINGS = ("storycore-tts.yaml", "config/storycore-tts.yaml", SETTINGS)
_ENGINE_SETTINGS = "config/default.yaml"


@dataclass(frozen=True)
class OpenCheckout:
    """A checkout that was read, ``now``, and as git has it."""

    root: Path
    now: Checkout
    committed: Checkout


def open_checkout(root: Path, lines: Lines, settings: str | None = None) -> OpenCheckout:
    """Read the files that a migration is about.

    Args:
        root: Folder of the checkout.
        lines: What is written where nothing else is asked for.
        settings: Path of the YAML file in it, relative and with slashes; None: the one with lines
            of ours, else one in which the package looks for its settings, else a new one that the
            engine's container has too.

    Raises:
        NotACheckout: The folder is not there, or holds no StoryCore-Engine.
        NotInGit: It is not under git, or one of the files is not.
        UnfitFile: A file in it is a link.
    """
    folder = _folder_of(root)
    found = {path: read(folder, path) for path in WATCHED}
    Checkout({path: text for path, text in found.items() if text is not None}).check()
    git = Git(folder)
    settings = settings or _usual_settings(folder, git)
    paths = [*WATCHED, settings]
    found[settings] = read(folder, settings)
    texts = {path: text for path, text in found.items() if text is not None}
    now = Checkout(texts, settings, lines, git.ids(paths))
    loose = [path for path in WATCHED if path in texts and path not in now.ids]
    loose += [settings] if settings not in now.ids and git.ignored(settings) else []
    if loose:
        raise NotInGit(
            f"git does not keep {', '.join(loose)}, and could not take changes back.",
            hint="git add -f and commit it, or name another file of settings with --config.",
        )
    then = {**texts, **_as_committed(git, now, paths)}
    committed = replace(now, texts={path: text for path, text in then.items() if text is not None})
    replaced = _replaced(git, now, committed)
    now, committed = (replace(one, replaced=replaced) for one in (now, committed))
    return OpenCheckout(folder, now, committed)


def write(opened: OpenCheckout, plan: Plan, *, rename: Rename = Path.replace) -> bool:
    """Write what a plan changes, and tell whether there was something.

    Each file changes as a whole. What stops it in between leaves the others as they were: git shows
    the difference, and the same call again, or one back, goes on from there.

    Args:
        opened: The checkout as it was read.
        plan: What is to become of it.
        rename: Puts a finished file in its place; another one is for tests.

    Raises:
        LocalChanges: A file was changed since it was read.
        StorageFailed: The disk refuses.
    """
    root, changes = opened.root, plan.changes
    for path in (*WATCHED, opened.now.settings):
        clear_draft(root, path)
    for change in changes:
        if read(root, change.path) != change.before:
            raise LocalChanges(f"{change.path} was changed while this ran.", hint="Run it again.")
        try:
            write_whole(root, change.path, change.after, rename)
        except OSError as error:
            raise StorageFailed(
                f"Cannot write {change.path}: {error.strerror or error}.",
                hint="git status shows what was written before it; run this again.",
            ) from error
    return bool(changes)


def _folder_of(root: Path) -> Path:
    """Return the folder that a path means, links resolved; NotACheckout if there is none."""
    try:
        folder = root.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise NotACheckout(f"Cannot read the folder {root}: {error}.") from None
    if not folder.is_dir():
        raise NotACheckout(f"{root} is not a folder.")
    return folder


def _usual_settings(folder: Path, git: Git) -> str:
    marked = git.marked("storycore-tts migrate: phase-1-settings")
    there = [path for path in _OTHER_SETTINGS if (folder / path).exists()]
    default = read(folder, _ENGINE_SETTINGS)
    if default is not None and re.search(r"^\s+qwen:", default, re.MULTILINE):
        there.append(_ENGINE_SETTINGS)
    return [*marked, *there, SETTINGS][0]


def _as_committed(git: Git, now: Checkout, paths: list[str]) -> dict[str, str | None]:
    """Return the texts of files that differ from what is committed: as they are there."""
    found: dict[str, str | None] = {}
    for path in git.changed(paths):
        data = git.content(path, now.ids[path]) if path in now.ids else None
        found[path] = None if data is None else data.decode(BYTEWISE)
    return found


def _replaced(git: Git, *checkouts: Checkout) -> dict[str, str]:
    """Return what our lines replaced, by its id."""
    marks = {(path, region.replaces) for one in checkouts for path, region in one.regions()}
    found = {named: git.content(path, named) for path, named in marks if named}
    return {named: data.decode(BYTEWISE) for named, data in found.items() if data is not None}
