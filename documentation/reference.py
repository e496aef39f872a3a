"""The pages of the reference, made from the code while the site is built.

mkdocstrings renders the Python pages, typer writes the page of the command line; settings and
routes are tables of what pydantic and FastAPI say. Nothing generated is kept in the repository.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from fastapi import FastAPI
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from storycore_tts import QwenTTSConfig, create_app, create_editor_router

ROOT = Path(__file__).parents[1]
PACKAGE = "storycore_tts"
STUB = ROOT / PACKAGE / "__init__.pyi"
# What users meet without importing it from the package itself.
MORE = {
    "container": ["ConfiguredSpeech"],
    "testing.comfyui": [],
    "testing.contract": [],
    "testing.service": ["serving"],
    "testing.event_loop": ["stays_free"],
}
ORDER = (
    "container",
    "services",
    "entrypoints",
    "settings",
    "domain",
    "errors",
    "ports",
    "adapters",
)
_MAX_SEED = 2**64 - 1


def on_config(config: Any) -> Any:
    """Add the pages to the navigation, below "Reference"."""
    reference = next(part["Reference"] for part in config.nav if "Reference" in part)
    reference += [{title: uri} for title, uri in TABLES.items()]
    reference += [{"Python": [{name: _uri(name)} for name in modules()]}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages themselves."""
    for uri, content in pages().items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Append links to the pages to the document that a code host shows without them."""
    if page.file.src_uri != "REFERENCE.md":
        return markdown
    links = [f"- [{title}]({uri})" for title, uri in TABLES.items()]
    links += [f"- [`{PACKAGE}.{name}`]({_uri(name)})" for name in modules()]
    return "\n".join([markdown, "## Pages\n", *links])


def pages() -> dict[str, str]:
    """Return the Markdown of each page by its path in the site."""
    made = {TABLES[title]: "\n".join(write()) for title, write in WRITERS.items()}
    return made | {_uri(name): python(name, members) for name, members in modules().items()}


# Python


def modules() -> dict[str, list[str]]:
    """Return the public names by the module that ``__init__.pyi`` imports them from."""
    found: dict[str, list[str]] = {}
    for line in ast.parse(STUB.read_text("utf-8")).body:
        if isinstance(line, ast.ImportFrom) and line.module != "__about__":
            found.setdefault(str(line.module), []).extend(name.name for name in line.names)
    for module, names in MORE.items():
        found.setdefault(module, []).extend(names)
    return {module: found[module] for module in sorted(found, key=_place)}


def _place(module: str) -> tuple[int, str]:
    """Return the sort key of a module: what most users need comes first."""
    top = module.split(".")[0]
    return ORDER.index(top) if top in ORDER else len(ORDER), module


def _uri(module: str) -> str:
    return f"reference/{PACKAGE}.{module}.md"


def python(module: str, names: list[str]) -> str:
    """Return the page of a module, for mkdocstrings to fill in."""
    full = f"{PACKAGE}.{module}"
    head = {"show_root_heading": False, "show_root_toc_entry": False}
    # Without names, all of the module but the tests of a contract, which are its author's concern.
    all_or_none = {"members": False} if names else {"filters": ["!^_", "!^test_"]}
    blocks = [f"# {full}\n", f"::: {full}", *_options(**head, **all_or_none)]
    for name in names:
        owner = full if name in MORE.get(module, []) else PACKAGE
        blocks += [f"\n::: {owner}.{name}"]
        if module == "settings" and name.endswith("Config"):  # their keys: the table of settings
            blocks += _options(members=False)
    return "\n".join(blocks)


def _options(**options: Any) -> list[str]:
    return ["    options:", *(f"      {name}: {json.dumps(it)}" for name, it in options.items())]


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


# A name, its type, whether it is required or its default, and what it means.
Row = tuple[str, str, str, str]


def _table(rows: Iterable[Row], head: str) -> str:
    """Return a table of two columns, which a phone has room for."""
    lines = [f"| {head} | meaning |", "|---|---|"]
    for name, kind, default, what in rows:
        under = "; ".join(filter(None, (kind, default)))
        lines.append(f"| `{name}`<br>{_cell(under)} | {_cell(what)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _default(name: str, schema: Mapping[str, Any], required: Iterable[str]) -> str:
    if name in required:
        return "required"
    value = schema.get("default")
    return "" if value in (None, "") else f"default: `{json.dumps(value, ensure_ascii=False)}`"


# Settings


def settings() -> Iterator[str]:
    """Yield the keys of the settings file, from the pydantic models."""
    yield "# Settings\n"
    yield (
        "Keys below `tts.qwen` in a YAML file. In the environment, `generation.top_p` is "
        "`STORYCORE_TTS_GENERATION__TOP_P`. In Python, a block is a dictionary: "
        '`QwenTTSConfig(backend="draft", retry={"attempts": 1})`.\n'
    )
    yield _table(_keys(QwenTTSConfig, ""), "key below `tts.qwen`")


def _keys(block: type[BaseModel], above: str) -> Iterator[Row]:
    properties = block.model_json_schema()["properties"]
    for name, field in block.model_fields.items():
        key, kind = f"{above}{name}", field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{key}.")
            continue
        said = _one_line(field.description or "")
        blocks = [k for k in get_args(kind) if isinstance(k, type) and issubclass(k, BaseModel)]
        if blocks:
            yield key, "map of names to blocks", "default: as in default.yaml", said
            yield from _keys(blocks[0], f"{key}.NAME.")
        else:
            value = field.get_default(call_default_factory=True)
            default = "required" if field.is_required() else f"default: `{_yaml(value)}`"
            yield key, _type(properties[name]), default, said


def _yaml(value: object) -> str:
    return str(value) if isinstance(value, str) and value else json.dumps(value)


# REST


def rest() -> Iterator[str]:
    """Yield the routes, from the OpenAPI document."""
    document = create_app(QwenTTSConfig(backend="draft")).openapi()
    yield "# REST\n"
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
    yield "\n## Bodies and answers\n"
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
    yield f"\n## {method.upper()} {path}\n"
    yield f"{_one_line(operation.get('description', ''))}\n"
    parameters = operation.get("parameters", [])
    required = {p["name"] for p in parameters if p.get("required")}
    rows = [
        (
            p["name"],
            f"in the {p['in']}: {_type(p['schema'])}",
            _default(p["name"], p["schema"], required),
            _one_line(p.get("description", "")),
        )
        for p in parameters
    ]
    if rows:
        yield _table(rows, "parameter") + "\n"
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
    yield f"\n### {name} (JSON)\n"  # some are named like a class
    yield f"{_one_line(schema.get('description', ''))}\n"
    if "enum" in schema:
        yield f"One of {_type(schema)}.\n"
        return
    required = schema.get("required", [])
    rows = [
        (field, _type(it), _default(field, it, required), _one_line(it.get("description", "")))
        for field, it in schema.get("properties", {}).items()
    ]
    yield _table(rows, "field")


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


def commands() -> Iterator[str]:
    """Yield what typer writes of a command line."""
    program = ["-m", "typer", f"{PACKAGE}.entrypoints.cli.app", "utils", "docs"]
    done = subprocess.run(  # noqa: S603 — fixed arguments
        [sys.executable, *program, "--name", "storycore-tts", "--title", "Command line"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        encoding="utf-8",
    )
    yield done.stdout


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


TABLES = {
    "Settings": "reference/settings.md",
    "REST": "reference/rest.md",
    "Command line": "reference/command-line.md",
}
WRITERS = {"Settings": settings, "REST": rest, "Command line": commands}
