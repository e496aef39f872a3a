"""Several files written as one: all of them change, or none does.

A write says first what it is about to do (``pending.json``), keeps a copy of every file, writes the
new contents beside the old ones, and only then renames. Whatever stops it before the manifest names
it, an error or a power cut, is put right from the copies: at once, or by the next run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from storycore_tts.entrypoints.checkout.files import (
    check_writable,
    digest,
    encoded,
    place,
    write_durably,
)
from storycore_tts.entrypoints.checkout.journal import (
    FOLDER,
    FileRecord,
    Manifest,
    WriteRecord,
    load_manifest,
    load_pending,
    manifest_file,
    pending_file,
)
from storycore_tts.entrypoints.checkout.reading import OpenCheckout, folder_of
from storycore_tts.services.migration import LocalChanges, Plan

Rename = Callable[[Path, Path], object]


def write(opened: OpenCheckout, plan: Plan, *, rename: Rename = Path.replace) -> Path | None:
    """Write what a plan changes.

    Args:
        opened: The checkout as it was read.
        plan: What is to become of it.
        rename: Puts a finished file in its place; another one is for tests.

    Returns:
        The folder with the files as they were; None where nothing had to change.

    Raises:
        LocalChanges: A file was changed since it was read.
        NotWritable: A file, or a folder, is read-only.
        OSError: The disk refuses. Nothing has changed then.
    """
    contents = _contents(opened, plan)
    if not contents:
        return None
    root, manifest = opened.root, opened.manifest
    for path in [*contents, f"{FOLDER}/manifest.json"]:
        check_writable(root, path)
    old = {path: file.data for path, file in opened.files.items()}
    record = WriteRecord(
        folder=f"{len(manifest.writes) + 1:04}-phase-{plan.start}-to-{plan.target}",
        start=plan.start,
        target=plan.target,
        files=tuple(
            FileRecord(path=path, before=digest(old.get(path)), after=digest(data))
            for path, data in contents.items()
        ),
    )
    backup = place(root, f"{FOLDER}/{record.folder}")
    backup.parent.mkdir(exist_ok=True)
    _replaced(pending_file(root), record.as_bytes(), Path.replace)
    try:
        _back_up(root, backup, {path: old[path] for path in contents if path in old})
        _stage(root, contents)
        _rename(root, record, rename)
        grown = Manifest(
            settings=plan.after.settings,
            regions=plan.after.regions,
            writes=(*manifest.writes, record),
        )
        _replaced(manifest_file(root), grown.as_bytes(), rename)
    except BaseException:
        put_right(root)
        raise
    pending_file(root).unlink()
    return backup


def put_right(root: Path) -> bool:
    """Take back a write that was cut off; tell whether there was one.

    Raises:
        LocalChanges: A file was changed since; nothing was taken back.
    """
    root = folder_of(root)
    record = load_pending(root)
    if record is None:
        return False
    if record not in load_manifest(root).writes:
        _roll_back(root, record)
    pending_file(root).unlink()
    return True


def _contents(opened: OpenCheckout, plan: Plan) -> dict[str, bytes | None]:
    """Return the new bytes of every file that changes; None for one that goes."""
    contents: dict[str, bytes | None] = {}
    for change in plan.changes:
        known = opened.files.get(change.path)
        encoding = known.encoding if known else "utf-8"
        contents[change.path] = (
            None if change.after is None else encoded(change.path, change.after, encoding)
        )
    return contents


def _back_up(root: Path, backup: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(backup, ignore_errors=True)  # of a write that was taken back
    backup.mkdir()
    for path, data in files.items():
        copy = backup / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_durably(copy, data)
        shutil.copymode(place(root, path), copy)


def _stage(root: Path, contents: Mapping[str, bytes | None]) -> None:
    """Write the new contents beside the files that they are for."""
    for path, data in contents.items():
        if data is None:
            continue
        file = place(root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_durably(_staged(file), data)
        if file.exists():
            shutil.copymode(file, _staged(file))


def _rename(root: Path, record: WriteRecord, rename: Rename) -> None:
    for known in record.files:
        file = place(root, known.path)
        if _digest_of(file) != known.before:
            raise LocalChanges(f"{known.path} was changed while this ran.", hint="Run it again.")
        if known.after is None:
            file.unlink()
        else:
            rename(_staged(file), file)


def _roll_back(root: Path, record: WriteRecord) -> None:
    backup = place(root, f"{FOLDER}/{record.folder}")
    files = {known: place(root, known.path) for known in record.files}
    for known, file in files.items():
        if _digest_of(file) not in (known.before, known.after) and not _is_untouched(known, file):
            raise LocalChanges(
                f"A migration was cut off, and {known.path} was changed since.",
                hint=f"As it was before: {backup / known.path}. Put it back, and run this again.",
            )
    for known, file in files.items():
        if _digest_of(file) != known.before and not _is_untouched(known, file):
            _restore(file, None if known.before is None else backup / known.path)
    for file in [*files.values(), manifest_file(root)]:
        _staged(file).unlink(missing_ok=True)
    shutil.rmtree(backup, ignore_errors=True)


def _is_untouched(known: FileRecord, file: Path) -> bool:
    """Tell whether a write did not come to a file: whoever changed it, we did not."""
    return _staged(file).exists() if known.after is not None else file.exists()


def _restore(file: Path, copy: Path | None) -> None:
    if copy is None:
        file.unlink()
        return
    write_durably(_staged(file), copy.read_bytes())
    shutil.copymode(copy, _staged(file))
    _staged(file).replace(file)


def _replaced(file: Path, data: bytes, rename: Rename) -> None:
    write_durably(_staged(file), data)
    rename(_staged(file), file)


def _staged(file: Path) -> Path:
    return file.with_name(f".{file.name}.storycore-tts-new")


def _digest_of(file: Path) -> str | None:
    return digest(file.read_bytes()) if file.exists() else None
