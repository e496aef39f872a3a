"""The base class of settings blocks, and the errors for invalid settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storycore_tts.errors import ConfigurationError, did_you_mean, shown

_USER_AND_PASSWORD = re.compile(r"(?<=//)[^/]*@")

Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]


class SettingsBlock(BaseModel):
    """A block of settings: frozen; unknown keys are an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    def __init__(self, /, **values: Any) -> None:  # allows a key named "self"
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(type(self), error) from None


def refused(
    key: str,
    value: object,
    allowed: str,
    *,
    unknown_key: bool = False,
    source: str = "",
    line: int | None = None,
) -> ConfigurationError:
    """Return the error for an invalid setting, with its location and the allowed values.

    Args:
        key: Dotted path of the setting.
        value: The invalid value.
        allowed: Description of the allowed values.
        unknown_key: Whether the key itself is unknown.
        source: The file, environment variable or option it came from; "" if unknown.
        line: Line in the file, from 1; None if unknown.
    """
    where = "".join(f"{part}:" for part in (source, line) if part)
    what = "is not a known key" if unknown_key else f"cannot be {shown(value)}"
    return ConfigurationError(
        f"{where} {key} {what}. Allowed: {allowed}".lstrip(),
        source=source or None,
        line=line,
        key=key,
        value=value,
        allowed=allowed,
        unknown_key=unknown_key,
    )


def moved(
    refusal: ConfigurationError, key: str, *, source: str = "", line: int | None = None
) -> ConfigurationError:
    """Return the same error with another key, such as the full path of a nested setting.

    Args:
        refusal: The error of a block.
        key: The new dotted path.
        source: See ``refused``.
        line: See ``refused``.
    """
    return refused(
        key,
        refusal.value,
        refusal.allowed or "",
        unknown_key=refusal.unknown_key,
        source=source,
        line=line,
    )


def _refusal(block: type[SettingsBlock], error: ValidationError) -> ConfigurationError:
    """Turn pydantic's first error into one sentence with key, value and allowed values."""
    errors = error.errors(include_url=False)
    first = errors[0]
    where, value, kind = list(map(str, first["loc"])), first["input"], first["type"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        return moved(cause, ".".join([*where, *filter(None, [cause.key])]))
    key = where[0] if where else ""
    field = block.model_fields.get(key)
    if kind == "missing":  # the value is the whole block
        return refused("", value, f"a mapping with the key {key}")
    if kind == "extra_forbidden":
        return refused(key, value, one_of(block.model_fields, key), unknown_key=True)
    shape = get_origin(field.annotation) if field else None
    if kind == "literal_error" and shape is Literal:
        choices = map(str, get_args(field.annotation)) if field else ()
        wrong = value if isinstance(value, str) else shown(value)
        return refused(key, value, one_of(choices, wrong))
    if field and not field.repr:
        value = "…"
    if shape is dict:
        key = ".".join(where)
    if isinstance(value, str):
        value = _USER_AND_PASSWORD.sub("…@", value)
    ours = [e for e in errors if e["loc"][:1] == first["loc"][:1]]  # a union reports several
    said = [str(cause or e["msg"]).removeprefix("Input should be ") for e in ours]
    return refused(key, value, " or ".join(dict.fromkeys(said)))


def one_of(choices: Iterable[str], wrong: str) -> str:
    """List the choices, followed by the one closest to a wrong value."""
    names = list(choices)
    return f"one of {', '.join(names)}.{did_you_mean(wrong, names)}"
