"""A checkout as the migration's rules see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.entrypoints.checkout.files import SourceFile, read
from storycore_tts.entrypoints.checkout.journal import Manifest, load_manifest
from storycore_tts.services.migration import SETTINGS, WATCHED, Checkout, NotACheckout


@dataclass(frozen=True)
class OpenCheckout:
    """A checkout that was read.

    Args:
        root: Its folder.
        files: Path, relative and with slashes -> what was read.
        checkout: The same for the rules.
        manifest: What was written into it so far.
    """

    root: Path
    files: Mapping[str, SourceFile]
    checkout: Checkout
    manifest: Manifest


def open_checkout(root: Path, settings: str | None = None) -> OpenCheckout:
    """Read the files that a migration is about.

    Args:
        root: Folder of the checkout.
        settings: Path of the YAML file in it; None: the one that was used before, else the first
            that exists of those in which the package looks for its settings.

    Raises:
        NotACheckout: The folder is not there, or holds no StoryCore-Engine.
        UnfitFile: A file in it is a link, or of no encoding that is known.
        LocalChanges: The record of earlier writes is damaged.
    """
    folder = folder_of(root)
    manifest = load_manifest(folder)
    settings = settings or manifest.settings
    paths = {*WATCHED, *SETTINGS, *(region.path for region in manifest.regions)}
    if settings is not None:
        paths.add(settings)
    found = {path: read(folder, path) for path in sorted(paths)}
    files = {path: file for path, file in found.items() if file is not None}
    texts = {path: file.text for path, file in files.items()}
    usual = next((path for path in SETTINGS if path in texts), SETTINGS[-1])
    return OpenCheckout(
        folder, files, Checkout(texts, settings or usual, manifest.regions), manifest
    )


def folder_of(root: Path) -> Path:
    """Return the folder that a path means, links resolved.

    Raises:
        NotACheckout: There is none.
    """
    try:
        folder = root.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise NotACheckout(f"Cannot read the folder {root}: {error}.") from None
    if not folder.is_dir():
        raise NotACheckout(f"{root} is not a folder.")
    return folder


def settings_path(root: Path, config: Path) -> str:
    """Return the path of a settings file as the rules write it: relative, with slashes.

    Raises:
        InvalidRequest: It is not below the checkout.
    """
    folder = folder_of(root)
    try:
        return (folder / config).relative_to(folder).as_posix()
    except ValueError:
        raise InvalidRequest(
            f"{config} is not in the checkout {root}.",
            hint="--config takes a path that begins at the checkout.",
        ) from None
