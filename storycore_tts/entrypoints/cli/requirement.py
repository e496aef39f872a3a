"""The line that lets pip install this package elsewhere."""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from storycore_tts.__about__ import __version__
from storycore_tts.domain.errors import InvalidRequest

_NAME = "storycore-tts"
# Without "direct": the engine's own torch and transformers stay. "draft" speaks meanwhile.
_WANTED = f"{_NAME}[draft,server]"
_NO_RELEASE = "no release yet: migrate --requirement takes the address of a wheel or of git"


def requirement_line(address: str | None = None, *, installed: Distribution | None = None) -> str:
    """Return a line for a file of requirements.

    Args:
        address: Of a wheel or of git, a path on this machine, or the whole line; None: where the
            running package was installed from, if pip has noted it (PEP 610).
        installed: The running package; None: it is looked for.

    Raises:
        InvalidRequest: A path that leads nowhere, or no single line of ASCII.
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
        raise InvalidRequest("--requirement takes one line of ASCII.")
    return line


def _as_uri(path: str) -> str:
    try:
        found = Path(path).resolve(strict=True)
    except (OSError, ValueError):  # ValueError: a NUL
        raise InvalidRequest(
            f"There is no {path!r}.", hint="--requirement takes an address or a path."
        ) from None
    return found.as_uri()


def _installed_from(package: Distribution | None) -> str | None:
    try:
        noted = (package or distribution(_NAME)).read_text("direct_url.json")
    except PackageNotFoundError:  # it runs from its sources
        return None
    if noted is None:
        return None
    told = json.loads(noted)
    source = told.get("vcs_info")
    return f"{source['vcs']}+{told['url']}@{source['commit_id']}" if source else str(told["url"])
