"""Commands with groups of options.

A dataclass parameter of a command is expanded to options, one per field, and a ``GivenParameters``
to one per declared parameter; typer sees a flat list.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, ClassVar, get_type_hints

import typer

from storycore_tts.domain.parameters import Parameter, parameters_of
from storycore_tts.entrypoints.cli.failures import guarded


class GivenParameters:
    """Parameters given as options. A subclass sets ``declared``.

    Args:
        **values: Values by parameter name; None for omitted options.
    """

    declared: ClassVar[type]

    def __init__(self, **values: float | None) -> None:
        self.values = {name: value for name, value in values.items() if value is not None}


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
    groups = {p.name: p.annotation for p in parameters.values() if _is_group(p.annotation)}

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


def _is_group(kind: Any) -> bool:
    return is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, GivenParameters))


def _flattened(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return the options of a group, or the parameter itself."""
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    group = parameter.annotation
    if not _is_group(group):
        return [parameter.replace(kind=keyword_only)]
    if issubclass(group, GivenParameters):
        return [_option(one) for one in parameters_of(group.declared)]
    kinds = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            keyword_only,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=kinds[field.name],
        )
        for field in fields(group)
    ]


def _option(parameter: Parameter) -> inspect.Parameter:
    declared = typer.Option(
        parameter.option,
        metavar="N" if parameter.kind is int else "X",
        help=f"{parameter.help} From {parameter.range}.",
    )
    kind: Any = parameter.kind
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(
        parameter.name, keyword_only, default=None, annotation=Annotated[kind | None, declared]
    )


def _grouped(values: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(values)
    made = {
        name: group(**{option: rest.pop(option) for option in _names(group)})
        for name, group in groups.items()
    }
    return {**rest, **made}


def _names(group: Any) -> list[str]:
    if is_dataclass(group):
        return [field.name for field in fields(group)]
    return [one.name for one in parameters_of(group.declared)]
