"""Commands with groups of options.

A dataclass parameter of a command is expanded to options, one per field; typer sees a flat list.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

import typer

from storycore_tts.entrypoints.cli.failures import guarded


def add_command(app: typer.Typer, function: Callable[..., int | None]) -> None:
    """Add a function to an app under its own name; its docstring is the help text.

    A trailing underscore, as in ``list_``, is removed; others become hyphens.

    Args:
        app: The app to add the command to.
        function: Takes arguments, options and groups of options; returns the exit status, or None
            for 0. Exceptions become a message and an exit status.
    """
    # Not get_type_hints, which on Python 3.10 wraps annotations in Optional.
    parameters = inspect.signature(function, eval_str=True).parameters
    groups = {p.name: p.annotation for p in parameters.values() if is_dataclass(p.annotation)}

    def call(**values: Any) -> None:
        status = guarded(
            lambda: function(**_grouped(values, groups)),
            as_json=values.get("as_json", False),
            debug=values.get("debug", False),
        )
        raise typer.Exit(status)

    flat = [option for parameter in parameters.values() for option in _flattened(parameter)]
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    app.command(
        name=function.__name__.rstrip("_").replace("_", "-"), help=inspect.getdoc(function)
    )(call)


def _flattened(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return the options of a group, or the parameter itself."""
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    if not is_dataclass(parameter.annotation):
        return [parameter.replace(kind=keyword_only)]
    kinds = get_type_hints(parameter.annotation, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            keyword_only,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=kinds[field.name],
        )
        for field in fields(parameter.annotation)
    ]


def _grouped(values: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(values)
    made = {
        name: group(**{field.name: rest.pop(field.name) for field in fields(group)})
        for name, group in groups.items()
    }
    return {**rest, **made}
