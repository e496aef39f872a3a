"""Commands whose options come in groups.

A parameter of a command that is a dataclass stands for the options that are its fields; typer sees
one flat list.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

import typer

from storycore_tts.entrypoints.cli.failures import guarded


def add_command(app: typer.Typer, function: Callable[..., int | None]) -> None:
    """Add a function to an app under its own name; its docstring is the help text.

    Args:
        app: Where to add it.
        function: Takes arguments, options and groups of options; returns the exit status, None
            for 0. What it raises becomes a message and an exit status.
    """
    hints = get_type_hints(function, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    def call(**values: Any) -> None:
        status = guarded(
            lambda: function(**_grouped(values, groups)),
            as_json=values.get("as_json", False),
            debug=values.get("debug", False),
        )
        raise typer.Exit(status)

    flat = _flattened(function, hints, groups)
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    app.command(name=function.__name__, help=inspect.getdoc(function))(call)


def _flattened(
    function: Callable[..., Any], hints: Mapping[str, Any], groups: Mapping[str, Any]
) -> list[inspect.Parameter]:
    flat: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            kinds = get_type_hints(groups[name], include_extras=True)
            flat += [_option(field, kinds[field.name]) for field in fields(groups[name])]
        else:
            flat.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            )
    return flat


def _option(field: Field[Any], kind: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
    )


def _grouped(values: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(values)
    made = {
        name: group(**{field.name: rest.pop(field.name) for field in fields(group)})
        for name, group in groups.items()
    }
    return {**rest, **made}
