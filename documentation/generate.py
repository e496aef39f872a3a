"""Write API_REFERENCE.md from the code: Python, settings, REST and the command line.

Python is read as source, without importing it, so that the page is the same on every Python. The
rest is asked of pydantic, FastAPI and typer, and said in words of this page's own, which do not
change with their releases.

    python documentation/generate.py            # writes documentation/API_REFERENCE.md
    python documentation/generate.py --check    # exit status 1 if it would change
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import typer
from fastapi import FastAPI
from pydantic import BaseModel

from storycore_tts import QwenTTSConfig, create_app, create_editor_router
from storycore_tts.entrypoints.cli.app import app as command_line

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "documentation" / "API_REFERENCE.md"
_WIDTH = 90  # of a signature on one line
_MAX_SEED = 2**64 - 1
# What users meet without importing it by name.
_MORE_NAMES = {"ConfiguredSpeech": "storycore_tts.container"}
_ORDER = (
    "container",
    "services",
    "entrypoints",
    "settings",
    "domain",
    "errors",
    "ports",
    "adapters",
)
_SECTIONS = ("Args", "Returns", "Yields", "Raises")

_HEAD = """# API reference

Made from the code by `documentation/generate.py`; `make docs` writes it anew, and a test compares.

- [Python](#python): the public names, by the module that they are defined in
- [Settings](#settings): the keys below `tts.qwen`
- [REST](#rest): the routes of the service
- [Command line](#command-line): `storycore-tts`
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, *_python(), *_settings(), *_rest(), *_commands()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


# Python


@dataclass(frozen=True)
class _Definition:
    """A public name, where it is defined, and how."""

    name: str
    module: str
    node: ast.stmt
    source: str
    doc: str


def _python() -> Iterator[str]:
    yield "## Python\n"
    yield (
        "All names below are imported from `storycore_tts` itself, but for `ConfiguredSpeech`, "
        "which `open_tts` yields."
    )
    by_module: dict[str, list[_Definition]] = {}
    for definition in _public():
        by_module.setdefault(definition.module, []).append(definition)
    for module in sorted(by_module, key=_place):
        yield f"\n### {module}\n"
        yield _as_markdown(ast.get_docstring(_tree(module)) or "", summary_only=True)
        for definition in sorted(by_module[module], key=lambda d: d.node.lineno):
            yield from _described(definition)


def _place(module: str) -> tuple[int, str]:
    """Return what sorts modules: what most people need comes first."""
    return next(n for n, part in enumerate(_ORDER) if module.split(".")[1] == part), module


def _public() -> Iterator[_Definition]:
    """Yield what ``__init__.pyi`` exports, each where it is really defined."""
    stub = ast.parse((ROOT / "storycore_tts" / "__init__.pyi").read_text("utf-8"))
    for line in stub.body:
        if isinstance(line, ast.ImportFrom):
            for alias in line.names:
                if not alias.name.startswith("__"):
                    yield _found(f"storycore_tts.{line.module}", alias.name)
    for name, module in _MORE_NAMES.items():
        yield _found(module, name)


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text("utf-8"))


def _found(module: str, name: str) -> _Definition:
    """Follow a name through the packages that pass it on."""
    source = _file(module).read_text("utf-8")
    body = ast.parse(source).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if name in _defined(node):
            doc = _text(after) if isinstance(node, ast.Assign) else ast.get_docstring(node) or ""
            return _Definition(name, module, node, source, doc)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            return _found(str(node.module), name)
    raise LookupError(f"{module} has no {name}")


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _text(node: ast.stmt | None) -> str:
    """Return the string that stands alone as a statement, below the name that it describes."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def _described(definition: _Definition) -> Iterator[str]:
    node, source = definition.node, definition.source
    yield f"\n#### {definition.name}\n"
    if isinstance(node, ast.ClassDef):
        yield from _class(node, source)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield _code(_signature(node, source))
        yield _as_markdown(definition.doc)
    else:
        yield _code(ast.get_source_segment(source, node) or "")
        yield _as_markdown(definition.doc)


def _class(node: ast.ClassDef, source: str) -> Iterator[str]:
    bases = [b for b in (_segment(source, base) for base in node.bases) if b != "_Block"]
    head = f"class {node.name}" + (f"({', '.join(bases)})" if bases else "")
    fields = list(_fields(node, source))
    made_by = next((f for f in _functions(node) if f.name == "__init__"), None)
    if _is_settings(node):
        yield _code(head)
        yield _as_markdown(ast.get_docstring(node) or "")
        yield "Its keys, types and ranges: [Settings](#settings)."
        fields = []
    elif made_by is not None:
        yield _code(f"{head}\n\n{_signature(made_by, source, name=node.name)}")
        yield _as_markdown(ast.get_docstring(node) or "")
        fields = []
    elif fields:
        yield _code(f"{head}\n\n{_call(node.name, [field.declaration for field in fields])}")
        yield _as_markdown(ast.get_docstring(node) or "")
    else:
        yield _code(head)
        yield _as_markdown(ast.get_docstring(node) or "")
    members = [name for n in node.body if isinstance(n, ast.Assign) for name in _defined(n)]
    if any(base.endswith("Enum") for base in bases):
        yield "Members: " + ", ".join(f"`{name}`" for name in members) + ".\n"
    for field in fields:
        if field.doc:
            yield f"- `{field.name}`: {_one_line(field.doc)}"
    for function in _functions(node):
        if not function.name.startswith("_"):
            yield f"\n##### {node.name}.{function.name}\n"
            yield _code(_signature(function, source))
            yield _as_markdown(ast.get_docstring(function) or "")


def _is_settings(node: ast.ClassDef) -> bool:
    return node.name.startswith(("QwenTTS", "Server")) and node.name.endswith("Config")


def _functions(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement


@dataclass(frozen=True)
class _Field:
    name: str
    declaration: str
    doc: str


def _fields(node: ast.ClassDef, source: str) -> Iterator[_Field]:
    """Yield the fields of a dataclass or of a typed dictionary."""
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        kind = _segment(source, statement.annotation)
        if not statement.target.id.startswith("_") and "ClassVar" not in kind:
            yield _Field(statement.target.id, _segment(source, statement), _text(after))


def _signature(
    node: ast.FunctionDef | ast.AsyncFunctionDef, source: str, *, name: str | None = None
) -> str:
    """Return what a caller writes; with a name, how the class of that name is made."""
    kind = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    decorators = [_segment(source, one) for one in node.decorator_list]
    if "property" in decorators:
        return f"{node.name}: {_segment(source, node.returns)}"
    above = "".join(f"@{one}\n" for one in decorators if one in ("classmethod", "staticmethod"))
    if "asynccontextmanager" in decorators:
        above, kind = "@asynccontextmanager\n", "async def "
    returned = f" -> {_segment(source, node.returns)}" if node.returns and name is None else ""
    begin = name or f"{kind}{node.name}"
    return above + _call(begin, _arguments(node.args, source), returned)


def _arguments(arguments: ast.arguments, source: str) -> list[str]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    defaults += arguments.defaults
    found = [
        _argument(one, default, source)
        for one, default in zip(plain, defaults, strict=True)
        if one.arg not in ("self", "cls")
    ]
    if arguments.posonlyargs and found:
        found.insert(sum(one.arg != "self" for one in arguments.posonlyargs), "/")
    if arguments.vararg:
        found.append(f"*{_argument(arguments.vararg, None, source)}")
    elif arguments.kwonlyargs:
        found.append("*")
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(_argument(one, default, source))
    if arguments.kwarg:
        found.append(f"**{_argument(arguments.kwarg, None, source)}")
    return found


def _argument(one: ast.arg, default: ast.expr | None, source: str) -> str:
    kind = f": {_segment(source, one.annotation)}" if one.annotation else ""
    if default is None:
        return f"{one.arg}{kind}"
    return f"{one.arg}{kind} = {_segment(source, default)}"


def _call(begin: str, arguments: list[str], returned: str = "") -> str:
    line = f"{begin}({', '.join(arguments)}){returned}"
    if len(line) <= _WIDTH:
        return line
    inner = "".join(f"    {argument},\n" for argument in arguments)
    return f"{begin}(\n{inner}){returned}"


def _segment(source: str, node: ast.AST | None) -> str:
    found = ast.get_source_segment(source, node) if node is not None else ""
    return " ".join((found or "").split())


def _code(text: str) -> str:
    return f"```py\n{text}\n```\n"


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _as_markdown(doc: str, *, summary_only: bool = False) -> str:
    """Turn a docstring of ours into Markdown: paragraphs, and lists below Args and its kin."""
    paragraphs = re.split(r"\n\s*\n", doc.replace("``", "`").strip())
    if summary_only:
        return f"{_one_line(paragraphs[0])}\n"
    parts = []
    for paragraph in paragraphs:
        head, _, below = paragraph.partition("\n")
        if head.rstrip(":") in _SECTIONS and head.endswith(":"):
            entries = _entries(below) if head[:-1] in ("Args", "Raises") else [_one_line(below)]
            parts.append(f"{head[:-1]}:\n\n" + "\n".join(f"- {entry}" for entry in entries))
        else:
            parts.append(_one_line(paragraph))
    return "\n\n".join(parts) + "\n"


def _entries(block: str) -> list[str]:
    """Split ``name: what it is`` entries, whose later lines are indented further."""
    indent = min((len(m) for m in re.findall(r"^ +", block, re.MULTILINE)), default=0)
    entries: list[str] = []
    for line in block.splitlines():
        if line[indent : indent + 1] != " " or not entries:
            name, _, what = line.strip().partition(":")
            entries.append(f"`{name}`:{what}")
        else:
            entries[-1] += f" {line.strip()}"
    return entries


# Types, as JSON Schema has them


def _type(schema: Mapping[str, Any]) -> str:
    """Say in words what a schema allows."""
    if "$ref" in schema:
        return _link(schema["$ref"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[union]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of names to {_type(schema['additionalProperties'])}"
    if schema.get("format") == "binary" or "contentMediaType" in schema:
        return "file"
    return str(kind) + _range(schema)


def _range(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    above = "above " if "exclusiveMinimum" in schema else ""
    if low is not None and high is not None:
        return f" ({above}{_number(low)} to {_number(high)})"
    if low is not None:
        return f" ({above or 'from '}{_number(low)})"
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least is not None and most is not None:
        return f" ({least} to {most} characters)"
    if "pattern" in schema:
        return f" like `{schema['pattern']}`"
    return " (not empty)" if least else ""


def _number(value: float) -> str:
    if value >= _MAX_SEED:
        return "2⁶⁴−1"
    return str(int(value)) if value == int(value) else f"{value:g}"


def _short(reference: str) -> str:
    """Return a schema's name: FastAPI writes the module into it where two have the same."""
    name = reference.rpartition("/")[2]
    module, _, last = name.rpartition("__")
    return f"OpenAI{last}" if "openai" in module else last


def _link(reference: str) -> str:
    name = _short(reference)
    return f"[{name}](#{name.lower()}-json)"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |" for r in lines)


def _value(value: object) -> str:
    if value is None or value == "":
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


# Settings


def _settings() -> Iterator[str]:
    yield "\n## Settings\n"
    yield (
        "Keys below `tts.qwen` in a YAML file. In the environment, `generation.top_p` is "
        "`STORYCORE_TTS_GENERATION__TOP_P`. In Python, a block is a dictionary: "
        '`QwenTTSConfig(backend="draft", retry={"attempts": 1})`.\n'
    )
    rows = [row for row in _keys(QwenTTSConfig, "") if row]
    yield _table(("key", "type", "default", "what"), rows)


def _keys(block: type[BaseModel], above: str) -> Iterator[tuple[str, str, str, str]]:
    properties = block.model_json_schema()["properties"]
    for name, field in block.model_fields.items():
        key, kind = f"{above}{name}", field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{key}.")
            continue
        said = _one_line(field.description or "")
        blocks = [k for k in get_args(kind) if isinstance(k, type) and issubclass(k, BaseModel)]
        if blocks:
            yield f"`{key}`", "map of names to blocks", "as in default.yaml", said
            yield from _keys(blocks[0], f"{key}.NAME.")
        else:
            default = "" if field.is_required() else f"`{_yaml(field.default)}`"
            yield f"`{key}`", _type(properties[name]), default or "required", said


def _yaml(value: object) -> str:
    return str(value) if isinstance(value, str) and value else json.dumps(value)


# REST


def _rest() -> Iterator[str]:
    document = create_app(QwenTTSConfig(backend="draft")).openapi()
    yield "\n## REST\n"
    yield (
        "The routes of `storycore-tts serve`, and of `create_router` below its prefix. Where keys "
        "are configured, all but `/health` and `/ready` take `Authorization: Bearer KEY`. Errors "
        "are [problem documents](#problem-json).\n"
    )
    reached: dict[str, None] = {"#/components/schemas/Problem": None}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield from _operation(method, path, operation)
            reached.update(dict.fromkeys(_references(operation)))
    schemas = document["components"]["schemas"]
    yield from _editor(set(document["paths"]), schemas, reached)
    yield "\n### Bodies and answers\n"
    for name in _reachable(schemas, reached):
        yield from _schema(_short(name), schemas[name])


def _editor(ours: set[str], schemas: dict[str, Any], reached: dict[str, None]) -> Iterator[str]:
    """Describe what ``create_editor_router`` has besides the routes of the service."""
    app = FastAPI()
    app.include_router(create_editor_router(QwenTTSConfig(backend="draft")))
    document = app.openapi()
    for name, schema in document["components"]["schemas"].items():
        schemas.setdefault(name, schema)
    yield "\n`create_editor_router` has them all below `/api/video-editor`, and this one:\n"
    for path, methods in document["paths"].items():
        if not any(path.endswith(route) for route in ours):
            for method, operation in methods.items():
                yield from _operation(method, path, operation)
                reached.update(dict.fromkeys(_references(operation)))


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### {method.upper()} {path}\n"
    yield f"{_one_line(operation.get('description', ''))}\n"
    rows = [
        (
            f"`{p['name']}`",
            p["in"],
            _type(p["schema"]),
            "yes" if p.get("required") else "",
            _value(p["schema"].get("default")),
            _one_line(p.get("description", "")),
        )
        for p in operation.get("parameters", [])
    ]
    if rows:
        yield _table(("parameter", "in", "type", "required", "default", "what"), rows) + "\n"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{kind}`: {_type(content['schema'])}\n"
    for status, answer in sorted(operation["responses"].items()):
        kinds = list(answer.get("content", {}))
        if status < "400":
            yield _answer(status, answer, kinds)
    errors = [s for s in sorted(operation["responses"]) if s >= "400"]
    yield f"\nErrors: {', '.join(errors)}.\n"


def _answer(status: str, answer: Mapping[str, Any], kinds: list[str]) -> str:
    said = _one_line(answer["description"])
    schema = next((c.get("schema", {}) for c in answer.get("content", {}).values()), {})
    shape = f": {_type(schema)}" if "$ref" in schema else ""
    listed = ", ".join(f"`{kind}`" for kind in kinds)
    headers = ", ".join(f"`{name}`" for name in answer.get("headers", {}))
    return (
        f"- {status}: {said}"
        + (f" {listed}{shape}." if kinds else "")
        + (f" Headers: {headers}." if headers else "")
    )


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n#### {name} (JSON)\n"  # some are named like a class
    yield f"{_one_line(schema.get('description', ''))}\n"
    if "enum" in schema:
        yield f"One of {_type(schema)}.\n"
        return
    required = schema.get("required", [])
    rows = [
        (
            f"`{field}`",
            _type(inner),
            "yes" if field in required else "",
            _value(inner.get("default")),
            _one_line(inner.get("description", "")),
        )
        for field, inner in schema.get("properties", {}).items()
    ]
    yield _table(("field", "type", "required", "default", "what"), rows)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for inner in node.values():
            yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)


def _reachable(schemas: Mapping[str, Any], begin: Iterable[str]) -> list[str]:
    found: set[str] = set()
    waiting = list(begin)
    while waiting:
        name = waiting.pop().rpartition("/")[2]
        if name not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return sorted(found, key=_short)


# The command line


def _commands() -> Iterator[str]:
    root: Any = typer.main.get_command(command_line)
    yield "\n## Command line\n"
    yield f"{_paragraphs(root.help)}\n"
    yield from _subcommands(root, "storycore-tts")


def _subcommands(group: Any, above: str) -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"\n### {above} {name}\n"
        yield f"{_paragraphs(command.help)}\n"
        if hasattr(command, "commands"):
            yield from _subcommands(command, f"{above} {name}")
            continue
        rows = [_parameter(p) for p in command.params if p.name != "help"]
        if rows:
            yield _table(("argument or option", "default", "what"), rows)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    default = parameter.default
    plain = isinstance(default, str | int | float | Path) and not isinstance(default, bool)
    shown = f"`{default}`" if plain and not parameter.required and str(default) else ""
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        name = f"`{metavar or parameter.name.upper()}`"
        return name, "required" if parameter.required else shown, _one_line(parameter.help or "")
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    names += f" `{metavar}`" if metavar else ""
    return names, "required" if parameter.required else shown, _one_line(parameter.help or "")


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(_one_line(part) for part in re.split(r"\n\s*\n", text or ""))


def main(arguments: list[str]) -> str | None:
    """Write the page, or compare it; what is wrong, if anything is."""
    wanted = page()
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8", newline="\n")
    elif PAGE.read_text("utf-8") != wanted:
        return f"{PAGE.name} is not what the code says: make docs"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
