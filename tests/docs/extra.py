"""What the tests of the notebook and of the site need: the extra ``docs``."""

import os
from importlib.util import find_spec

import pytest


def need(*packages: str) -> None:
    """Skip a test where one of them is missing; in the gate, that is a failure."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"needs {', '.join(missing)}: pip install -e '.[docs]'")
