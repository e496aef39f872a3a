"""The requirement line with which pip installs this package elsewhere."""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from storycore_tts.__about__ import __version__
from storycore_tts.errors import InvalidRequest

_NAME = "storycore-tts"
# Without "direct", so that the engine's torch and transformers are not changed.
_WANTED = f"{_NAME}[draft,server]"
_NO_RELEASE = "no release yet: pass the URL of a wheel or a git repository to migrate --requirement"


def requirement_line(address: str | None = None, *, installed: Distribution | None = None) -> str:
    """Return a line for a requirements file.

    Args:
        address: URL of a wheel or a git repository, a local path, or the whole line; None: the
            origin of the installed package, if pip has recorded it (PEP 610).
        installed: The installed package; None: look it up.

    Raises:
        InvalidRequest: The path does not exist, or the line is not a single line of ASCII.
    """
    if address is None:
        address = _installed_from(installed)
        if address is None:
            return f"{_WANTED}>={__version__}  # {_NO_RELEASE}"
    if re.match(r"storycore[-_.]+tts[ \[<>=!~@]", address, re.IGNORECASE):
        line = address
    elif "://" in address:
        line = f"{_WANTED} @ {address}"
    else:
        line = f"{_WANTED} @ {_as_uri(address)}"
    if not address or not line.isascii() or not line.isprintable():
        raise InvalidRequest("--requirement must be a single line of ASCII.")
    return line


def _as_uri(path: str) -> str:
    try:
        found = Path(path).resolve(strict=True)
    except (OSError, ValueError):  # ValueError: a NUL
        raise InvalidRequest(
            f"{path!r} does not exist.", hint="Pass a URL or a path to --requirement."
        ) from None
    return found.as_uri()


def _installed_from(package: Distribution | None) -> str | None:
    try:
        noted = (package or distribution(_NAME)).read_text("direct_url.json")
    except PackageNotFoundError:  # running from source
        return None
    if noted is None:
        return None
    origin = json.loads(noted)
    source = origin.get("vcs_info")
    if source:
        return f"{source['vcs']}+{origin['url']}@{source['commit_id']}"
    return str(origin["url"])
