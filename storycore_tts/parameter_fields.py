"""Pydantic model fields generated from declared parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticCustomError

from storycore_tts.domain.parameters import Parameter, parameters_of

M = TypeVar("M", bound=BaseModel)


def with_parameters(declared: type, *, given: bool = False) -> Callable[[type[M]], type[M]]:
    """Return a decorator that adds a field for each parameter to a model, with its range and help.

    Args:
        declared: The class that declares the parameters.
        given: Make every field optional, with the default None, for request bodies. If False, the
            fields have the parameters' defaults.
    """

    def add(model: type[M]) -> type[M]:
        made: dict[str, Any] = {one.name: _field(one, given) for one in parameters_of(declared)}
        return create_model(
            model.__name__,
            __base__=model,
            __module__=model.__module__,
            __doc__=model.__doc__,
            **made,
        )

    return add


def given_in(body: BaseModel, declared: type) -> dict[str, Any]:
    """Return the parameters set in a body, without those that are None.

    Args:
        body: A model with the fields of ``with_parameters``.
        declared: The class that declares the parameters.
    """
    names = {one.name for one in parameters_of(declared)}
    return body.model_dump(include=names, exclude_none=True)


def _field(parameter: Parameter, given: bool) -> tuple[Any, Any]:
    in_range = Field(ge=parameter.low, le=parameter.high)
    kind: Any = Annotated[parameter.kind, in_range, _named_range(parameter)]
    default = None if given else parameter.default
    if given or parameter.optional:
        kind = kind | None
    return kind, Field(default=default, description=parameter.help)


def _named_range(parameter: Parameter) -> WrapValidator:
    """Return a validator whose error names the whole range, and that rejects booleans."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            if not isinstance(value, bool):
                return handler(value)
        except ValidationError:
            pass
        raise PydanticCustomError(
            "parameter", "Input should be {wanted}", {"wanted": parameter.wanted}
        )

    return WrapValidator(check)
