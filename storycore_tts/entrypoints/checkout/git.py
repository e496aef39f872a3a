"""Read-only access to the git repository of a checkout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from storycore_tts.services.migration.errors import NotInGit

_WHY = "The command relies on git to undo changes, so everything has to be committed first."
# Set in hooks of other repositories.
_OF_OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
_HOW = "git init && git add -A && git commit -m 'As it is'"


class Git:
    """The repository that contains a folder.

    Args:
        folder: The folder; paths are relative to it.

    Raises:
        NotInGit: git is not installed, there is no repository, or it has no commits.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if self._run("rev-parse", "--git-dir") is None:
            raise NotInGit(f"{folder} is not under git. {_WHY}", hint=_HOW)
        if self._run("rev-parse", "--verify", "--quiet", "HEAD") is None:
            raise NotInGit(f"Nothing is committed in {folder}. {_WHY}", hint=_HOW)

    def changed(self, paths: Iterable[str]) -> set[str]:
        """Return the files among these paths that are modified or untracked."""
        literal = [f":(literal){path}" for path in paths]
        options = ("--name-only", "--no-renames", "--relative", "-z")
        tracked = self._listed("diff", *options, "HEAD", "--", *literal)
        return {*tracked, *self._listed("ls-files", "--others", "-z", "--", *literal)}

    def ids(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the blob id of each committed file, by path."""
        rows = self._listed("ls-tree", "-z", "HEAD", "--", *paths)
        split = [row.split("\t", 1) for row in rows]
        return {path: entry.split()[2] for entry, path in split}

    def ignored(self, path: str) -> bool:
        """Return whether git ignores a file."""
        return self._run("check-ignore", "--quiet", "--", path) is not None

    def marked(self, words: str) -> list[str]:
        """Return the YAML files, tracked or not, that contain a text."""
        found = self._run("grep", "-lzF", "--untracked", "-e", words, "--", "*.yaml", "*.yml")
        return _split(found or b"")

    def content(self, path: str, named: str) -> bytes | None:
        """Return a blob as git would check it out to a path, or None if the blob is missing.

        Line endings follow the settings of the repository.
        """
        return self._run("cat-file", "--filters", f"--path={path}", named)

    def _listed(self, *arguments: str) -> list[str]:
        found = self._run(*arguments)
        if found is None:
            raise NotInGit(f"git {arguments[0]} failed in {self._folder}.", hint="Try git fsck.")
        return _split(found)

    def _run(self, *arguments: str) -> bytes | None:
        """Return the output of git, or None if its exit status is not 0."""
        command = ["git", "-C", str(self._folder), *arguments]
        environment = {k: v for k, v in os.environ.items() if k not in _OF_OTHERS}
        environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        try:
            done = subprocess.run(command, capture_output=True, env=environment)  # noqa: S603
        except OSError as error:
            raise NotInGit(f"git cannot be run: {error}. {_WHY}", hint="Install git.") from None
        if b"dubious ownership" in done.stderr:
            raise NotInGit(done.stderr.decode(errors="replace").strip())
        return done.stdout if done.returncode == 0 else None


def _split(found: bytes) -> list[str]:
    return [os.fsdecode(one) for one in found.split(b"\0") if one]
