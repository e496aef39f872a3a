"""The API reference says what the code says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

import storycore_tts

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "documentation" / "API_REFERENCE.md"


@pytest.fixture(scope="module")
def generated() -> str:
    spec = importlib.util.spec_from_file_location(
        "generate", ROOT / "documentation" / "generate.py"
    )
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        return module.page()
    finally:
        del sys.modules[spec.name]


def test_it_is_what_the_code_says(generated: str):
    assert generated == PAGE.read_text(encoding="utf-8"), "run: make docs"


def test_it_has_each_public_name(generated: str):
    names = set(storycore_tts.__all__) - {"__version__"}
    assert names <= set(re.findall(r"^#### (\w+)$", generated, re.MULTILINE))


def test_it_explains_each_setting_and_option(generated: str):
    """A row that ends in an empty cell would be a key or an option without a word of help."""
    settings = generated.partition("\n## Settings\n")[2].partition("\n## REST\n")[0]
    commands = generated.partition("\n## Command line\n")[2]
    rows = [row for row in (settings + commands).splitlines() if row.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []


def test_its_links_lead_to_its_headings(generated: str):
    headings = [
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", generated, re.MULTILINE)
    ]
    linked = set(re.findall(r"\]\(#([^)]+)\)", generated))
    assert linked
    assert [link for link in linked if headings.count(link) != 1] == []
