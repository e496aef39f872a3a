"""The line that lets pip install this package elsewhere."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from storycore_tts.__about__ import __version__
from storycore_tts.domain.errors import InvalidRequest

_NAME = "storycore-tts"
# Without "direct": the engine speaks through ComfyUI, and its own torch and transformers stay.
_WANTED = f"{_NAME}[server]"
_NO_RELEASE = "no release yet: migrate --requirement takes the address of a wheel or of git"


def requirement_line(address: str | None = None) -> str:
    """Return the line for a file of requirements.

    Args:
        address: Of a wheel or of git, a path on this machine, or the whole line; None: where the
            running package was installed from, if pip has noted it (PEP 610).

    Raises:
        InvalidRequest: A path that leads nowhere, or more than one line.
    """
    address = _installed_from() if address is None else address
    if address is None:
        return f"{_WANTED}>={__version__}  # {_NO_RELEASE}"
    if not address.strip() or "\n" in address or "\r" in address:
        raise InvalidRequest("--requirement takes one line.")
    if re.match(rf"{_NAME}\b(?![-.])", address, re.IGNORECASE):
        return address
    if "://" not in address:
        try:
            address = Path(address).resolve(strict=True).as_uri()
        except (OSError, ValueError):
            raise InvalidRequest(
                f"There is no {address}.", hint="--requirement takes an address or a path."
            ) from None
    return f"{_WANTED} @ {address}"


def _installed_from() -> str | None:
    try:
        noted = distribution(_NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    if noted is None:
        return None
    told = json.loads(noted)
    source = told.get("vcs_info")
    return f"{source['vcs']}+{told['url']}@{source['commit_id']}" if source else str(told["url"])
