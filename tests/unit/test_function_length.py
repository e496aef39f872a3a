"""A function fits on a screen."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 40  # lines of a body; its signature and its docstring are there to be looked up


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[ast.get_docstring(function) is not None :]
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_no_function_is_longer_than_a_screen():
    long = {}
    for file in sorted(ROOT.glob("storycore_tts/**/*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > MOST:
                long[f"{file.relative_to(ROOT)}: {node.name}"] = _lines(node)
    assert not long, f"over {MOST} lines: {long}"
