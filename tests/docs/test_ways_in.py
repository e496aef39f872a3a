"""The glossary, the promises and the traces name what is there."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
DOCUMENTATION = ROOT / "documentation"
NAMED = re.compile(r"\[`([\w.]+)`\]\(\.\./([\w/.]+\.py)\)")


@cache
def defined(path: Path) -> set[str]:
    """Return the names of all functions and classes in a file, with those that they are in."""
    found = set()

    def visit(node: ast.AST, above: str) -> None:
        for child in ast.iter_child_nodes(node):
            here = above
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(here := f"{above}{child.name}")
                here += "."
            visit(child, here)

    visit(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


def text(document: str) -> str:
    return (DOCUMENTATION / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["GLOSSARY.md", "PROMISES.md", "TRACES.md"])
def test_each_name_is_defined_where_its_link_leads(document: str):
    names = NAMED.findall(text(document))
    assert len(names) > 10
    assert [one for one in names if one[0] not in defined(ROOT / one[1])] == []


def test_each_promise_has_code_and_a_test():
    rows = re.findall(r"^\| (.+?)\. \| (.+)<br>(.+) \|$", text("PROMISES.md"), re.MULTILINE)
    assert len(rows) > 20
    for promise, code, test in rows:
        assert NAMED.search(code), promise
        files = [(name, file) for name, file in NAMED.findall(test) if file.startswith("tests/")]
        assert files, promise
        assert all(name.startswith("test_") for name, _ in files), promise


@pytest.fixture(scope="module")
def traces():
    spec = importlib.util.spec_from_file_location("make_traces", DOCUMENTATION / "make_traces.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="functions have no full names before 3.11")
@pytest.mark.parametrize(
    "case",
    [
        "A line",
        "ComfyUI is down",
        pytest.param("A cancel", marks=pytest.mark.soak),
        pytest.param("kill -9", marks=pytest.mark.soak),
    ],
)
def test_a_trace_is_what_the_code_does(traces, tmp_path: Path, case: str):
    steps = traces.SCENARIOS[case](tmp_path)
    recorded = text("TRACES.md").partition(f"\n## {case}\n")[2].partition("\n## ")[0]
    written = "\n".join(traces.written(steps))
    assert written.strip() in recorded, "run: python documentation/make_traces.py"
