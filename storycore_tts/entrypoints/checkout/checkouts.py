"""Loads a checkout for the migration's rules, and writes the result back to disk."""

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
    """A loaded checkout: its files on disk (``now``), and as committed."""

    root: Path
    now: Checkout
    committed: Checkout


def open_checkout(root: Path, lines: Lines, settings: str | None = None) -> OpenCheckout:
    """Read the files that a migration concerns.

    Args:
        root: Folder of the checkout.
        lines: Default lines of the edits.
        settings: Path of the settings file in the checkout, relative and with slashes; None: the
            file that already holds our lines, else an existing settings file, else a new one that
            also exists in the engine's container.

    Raises:
        NotACheckout: The folder does not exist, or is not a StoryCore-Engine checkout.
        NotInGit: The folder, or one of the files, is not under git.
        UnfitFile: One of the files is a link.
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
            f"git does not track {', '.join(loose)}, so changes could not be undone.",
            hint="git add -f and commit it, or choose another settings file with --config.",
        )
    then = {**texts, **_as_committed(git, now, paths)}
    committed = replace(now, texts={path: text for path, text in then.items() if text is not None})
    replaced = _replaced(git, now, committed)
    now, committed = (replace(one, replaced=replaced) for one in (now, committed))
    return OpenCheckout(folder, now, committed)


def write(opened: OpenCheckout, plan: Plan, *, rename: Rename = Path.replace) -> bool:
    """Write the changes of a plan, and return whether there were any.

    Each file is replaced atomically. After an interruption, some files are changed and others not:
    git shows the difference, and running the same migration again, or undoing it, completes it.

    Args:
        opened: The loaded checkout.
        plan: The plan.
        rename: Moves a finished file into place; tests replace it.

    Raises:
        LocalChanges: A file was changed since it was read.
        StorageFailed: A file cannot be written.
    """
    root, changes = opened.root, plan.changes
    for path in (*WATCHED, opened.now.settings):
        clear_draft(root, path)
    for change in changes:
        if read(root, change.path) != change.before:
            raise LocalChanges(f"{change.path} changed during the migration.", hint="Run it again.")
        try:
            write_whole(root, change.path, change.after, rename)
        except OSError as error:
            raise StorageFailed(
                f"Cannot write {change.path}: {error.strerror or error}.",
                hint="git status shows the files already written; run this again.",
            ) from error
    return bool(changes)


def _folder_of(root: Path) -> Path:
    """Return the resolved folder of a path, or raise NotACheckout if there is none."""
    try:
        folder = root.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: circular links
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
    """Return the committed texts of the files that differ from them."""
    found: dict[str, str | None] = {}
    for path in git.changed(paths):
        data = git.content(path, now.ids[path]) if path in now.ids else None
        found[path] = None if data is None else data.decode(BYTEWISE)
    return found


def _replaced(git: Git, *checkouts: Checkout) -> dict[str, str]:
    """Return the contents that our lines replaced, by git id."""
    marks = {(path, region.replaces) for one in checkouts for path, region in one.regions()}
    found = {named: git.content(path, named) for path, named in marks if named}
    return {named: data.decode(BYTEWISE) for named, data in found.items() if data is not None}
