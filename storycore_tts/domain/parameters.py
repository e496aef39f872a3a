"""Parameters: numbers of a request that are declared once.

A parameter is a dataclass field with a type, a default and, as a ``Number``, its range and help::

    temperature: Annotated[float, Number(0.01, 5, "The higher, the more readings differ.")] = 1.0

``SamplingParameters`` and ``TrainingParameters`` declare them. Everything else is generated: the
validation of requests, the settings, the command-line options, the fields of HTTP bodies and of the
page, and the reference. An adapter lists the supported parameters in ``Capabilities.parameters``.
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
    """Marks a field as a parameter, as metadata of ``Annotated``.

    Args:
        low: Minimum.
        high: Maximum.
        help: Description for settings, command line and HTTP.
        option: Command-line option; "": derived from the field, as in ``--top-p``.
    """

    low: float
    high: float
    help: str
    option: str = ""


@dataclass(frozen=True)
class Parameter:
    """A declared parameter.

    Args:
        name: Name in Python, in the settings and in JSON.
        kind: ``int`` or ``float``.
        optional: Whether it may be None.
        default: Default value; never changes after a release, because stored jobs omit it.
        low: Minimum.
        high: Maximum.
        help: Description.
        option: Command-line option.
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
        """The range as text, for display."""
        return f"{self.low:g} to {'2**64-1' if self.high == MAX_SEED else f'{self.high:g}'}"

    @property
    def wanted(self) -> str:
        """The valid values, for error messages."""
        return f"{'a whole number' if self.kind is int else 'a number'} from {self.range}"

    def check(self, value: object) -> None:
        """Validate a value.

        Raises:
            InvalidRequest: It has the wrong type or is out of range.
        """
        if value is not None or not self.optional:
            check_range(self.name, value, self.low, self.high, whole=self.kind is int)


@cache
def parameters_of(declared: type) -> tuple[Parameter, ...]:
    """Return the parameters that a dataclass declares, in order.

    Args:
        declared: ``SamplingParameters``, ``TrainingParameters``, or a subclass.
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
    """Validate the parameters of a request.

    Raises:
        InvalidRequest: A value has the wrong type or is out of range.
    """
    for parameter in parameters_of(declared):
        parameter.check(getattr(values, parameter.name))


def ignored_parameters(values: object, declared: type, taken: Collection[str]) -> list[str]:
    """Return the names of unsupported parameters that differ from their default.

    Args:
        values: An instance of ``declared``.
        declared: The class that declares the parameters.
        taken: Names of the supported parameters.
    """
    return [
        parameter.name
        for parameter in parameters_of(declared)
        if parameter.name not in taken and getattr(values, parameter.name) != parameter.default
    ]
