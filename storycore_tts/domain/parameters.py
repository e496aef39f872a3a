"""Parameters: numbers of a request that are declared once.

A parameter is a field of a dataclass: its type, its default and, as a ``Number``, its range and
what it does::

    temperature: Annotated[float, Number(0.01, 5, "The higher, the more readings differ.")] = 1.0

``SamplingParameters`` and ``TrainingParameters`` hold such fields. All else is made from them: the
checks of a request, the blocks of the settings, the options of the command line, the fields of HTTP
bodies and of the page, and their reference. An adapter says in ``Capabilities.parameters`` which of
them it takes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, cast, get_args, get_type_hints

from storycore_tts.errors import check_range

MAX_SEED = 2**64 - 1  # of the ComfyUI nodes and of torch.manual_seed


@dataclass(frozen=True)
class Number:
    """What ``Annotated`` says of a field that is a parameter.

    Args:
        low: Its smallest value.
        high: Its largest value.
        help: What it does, in a sentence that fits settings, command line and HTTP.
        option: Its name on the command line; "" for the field's, as in ``--top-p``.
    """

    low: float
    high: float
    help: str
    option: str = ""


@dataclass(frozen=True)
class Parameter:
    """A parameter as it was declared.

    Args:
        name: In Python, in the settings and in JSON.
        kind: ``int`` or ``float``.
        optional: It may be None.
        default: Its value where nothing is said; it never changes once it is released, because
            documents leave it out.
        low: Its smallest value.
        high: Its largest value.
        help: What it does.
        option: Its name on the command line.
    """

    name: str
    kind: type[int] | type[float]
    optional: bool
    default: float | None
    low: float
    high: float
    help: str
    option: str

    @property
    def range(self) -> str:
        """Its range, for people to read."""
        return f"{self.low:g} to {'2**64-1' if self.high == MAX_SEED else f'{self.high:g}'}"

    def check(self, value: object) -> None:
        """Hold a value against the declaration.

        Raises:
            InvalidRequest: It is of another type, or out of the range.
        """
        if value is not None or not self.optional:
            check_range(self.name, value, self.low, self.high, whole=self.kind is int)


@cache
def parameters_of(declared: type) -> tuple[Parameter, ...]:
    """Return the parameters that a dataclass declares, in their order.

    Args:
        declared: ``SamplingParameters``, ``TrainingParameters``, or a class that is made of them.
    """
    hints = get_type_hints(declared, include_extras=True)
    found = []
    for field in fields(declared):
        hint = hints[field.name]
        for number in getattr(hint, "__metadata__", ()):
            if isinstance(number, Number):
                kinds = get_args(hint.__origin__) or (hint.__origin__,)
                found.append(
                    Parameter(
                        name=field.name,
                        kind=int if int in kinds else float,
                        optional=type(None) in kinds,
                        default=cast(Any, field.default),  # each has one
                        low=number.low,
                        high=number.high,
                        help=number.help,
                        option=number.option or f"--{field.name.replace('_', '-')}",
                    )
                )
    return tuple(found)


def check_parameters(values: object, declared: type) -> None:
    """Hold the values of a request against their declarations.

    Raises:
        InvalidRequest: One is of another type, or out of its range.
    """
    for parameter in parameters_of(declared):
        parameter.check(getattr(values, parameter.name))


def ignored_parameters(values: object, declared: type, taken: Collection[str]) -> list[str]:
    """Return the names of parameters that were set and make no difference.

    Args:
        values: A request's numbers.
        declared: The class that declares them.
        taken: Names of those that make one.

    Returns:
        Those that differ from their default and are not taken.
    """
    return [
        parameter.name
        for parameter in parameters_of(declared)
        if parameter.name not in taken and getattr(values, parameter.name) != parameter.default
    ]
