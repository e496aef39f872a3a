"""What mkdocs needs to make a site of documents that link to each other as files of a repository.

The documents stay where people look for them, README.md at the root among them. What they link to,
source files too, comes along, so that every link of the site leads somewhere within it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOCUMENTS = "documentation"
PAGES = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "examples/hum/README.md": "examples/hum/README.md",
    "examples/scratch_track/README.md": "examples/scratch_track/README.md",
}
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the documents from outside the folder, and the files that any document links to."""
    for path, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for page in list(files.documentation_pages()):
        document = _path(page.src_uri)
        for target in LINK.findall((ROOT / document).read_text(encoding="utf-8")):
            path = _target(document, target)
            if (
                _is_source(path)
                and (ROOT / path).is_file()
                and not files.get_file_from_path(_uri(path))
            ):
                files.append(File.generated(config, _uri(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where the site has what they mean."""
    here = PurePosixPath(page.file.src_uri).parent
    document = _path(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        uri = _uri(_target(document, link[1]))
        return os.path.relpath(uri, here).replace(os.sep, "/")

    return LINK.sub(moved, markdown)


def _path(uri: str) -> str:
    """Return where in the repository a page comes from."""
    return next((path for path, page in PAGES.items() if page == uri), f"{DOCUMENTS}/{uri}")


def _target(document: str, link: str) -> str:
    """Return the path in the repository that a link in a document means."""
    return os.path.normpath(PurePosixPath(document).parent / link).replace(os.sep, "/")


def _uri(path: str) -> str:
    """Return where the site has a file of the repository."""
    if _is_source(path):
        return f"source/{path}.txt"  # a browser shows it
    return PAGES.get(path, path.removeprefix(f"{DOCUMENTS}/"))


def _is_source(path: str) -> bool:
    return path not in PAGES and not path.startswith(f"{DOCUMENTS}/")
