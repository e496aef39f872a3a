"""The documents are a site that needs nobody else, and whose links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import storycore_tts

from .extra import need

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
# What a browser fetches to show a page.
FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("use", "href")}


class Page(HTMLParser):
    """Collects what a page links to, what it fetches, and where links to it can lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if (tag, name) in FETCHED:
                self.fetched.add(value or "")
            if name in ("href", "src") and value:
                self.links.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Page]:
    need("material", "mkdocs", "mkdocstrings")
    folder = tmp_path_factory.mktemp("site").resolve()
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}


def test_each_document_is_a_page(site):
    names = {path.name for path in site}
    documents = {path.stem for path in (ROOT / "documentation").glob("*.md")}
    assert {f"{name}.html" for name in documents} <= names
    assert {"index.html", "CONTRIBUTING.html", "CHANGELOG.html"} <= names


def test_each_public_name_is_described(site):
    names = {f"storycore_tts.{name}" for name in storycore_tts.__all__ if name != "__version__"}
    assert names <= set().union(*(page.anchors for page in site.values()))


def test_each_setting_and_option_is_explained(site):
    folder = next(path.parent for path in site if path.name == "settings.html")
    settings = (folder / "settings.html").read_text("utf-8")
    assert settings.count("<td>") > 150
    assert re.findall(r"<td>(.*)</td>\s*<td></td>", settings) == []
    options = re.findall(
        "<li><code>(.*)</code>(.*)</li>", (folder / "command-line.html").read_text("utf-8")
    )
    assert len(options) > 150
    assert [name for name, said in options if not said.startswith(": ")] == []


def test_nothing_is_fetched_from_elsewhere(site):
    elsewhere = {url for page in site.values() for url in page.fetched if urlsplit(url).netloc}
    assert elsewhere == set()


def test_all_links_within_it_lead_somewhere(site):
    lost = [
        (path.name, link)
        for path, page in site.items()
        if path.name != "404.html"  # its links begin at the root of a server
        for link in page.links
        if not urlsplit(link).scheme and not leads_somewhere(site, path, link)
    ]
    assert lost == []


def leads_somewhere(site: dict[Path, Page], path: Path, link: str) -> bool:
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    anchor = unquote(parts.fragment)
    if target not in site:
        return target.is_file()
    return not anchor or anchor in site[target].anchors
