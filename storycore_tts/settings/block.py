"""A block of settings, and what is said of one that is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storycore_tts.domain.errors import ConfigurationError, did_you_mean, shown

_SECRETS = ("headers", "api_keys", "database_url")  # their values are in no message
_USER_AND_PASSWORD = re.compile(r"(?<=//)[^/]*@")

Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]


class SettingsBlock(BaseModel):
    """A block of settings: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    def __init__(self, /, **values: Any) -> None:  # "self" may be a key, and is then refused
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(type(self), error) from None


def refused(
    key: str, value: object, allowed: str, *, unknown_key: bool = False, source: str = ""
) -> ConfigurationError:
    """Return the error that says which setting is refused, where it stands, and what is allowed."""
    where = f"{source}: " if source else ""
    what = "is not a key that exists" if unknown_key else f"cannot be {shown(value)}"
    return ConfigurationError(
        f"{where}{key} {what}. Allowed: {allowed}",
        source=source or None,
        key=key,
        value=value,
        allowed=allowed,
        unknown_key=unknown_key,
    )


def _refusal(block: type[SettingsBlock], error: ValidationError) -> ConfigurationError:
    """Turn pydantic's first objection into one sentence with key, value and what is allowed."""
    errors = error.errors(include_url=False)
    first = errors[0]
    key, value, kind = str(first["loc"][0]), first["input"], first["type"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        inner = ".".join([*map(str, first["loc"]), *filter(None, [cause.key])])
        return refused(inner, cause.value, cause.allowed or "", unknown_key=cause.unknown_key)
    if kind == "missing":  # the value is the whole block
        return refused("", value, f"a mapping with the key {key}")
    if kind == "extra_forbidden":
        known = list(block.model_fields)
        return refused(key, value, one_of(known, key), unknown_key=True)
    if kind == "literal_error" and get_origin(block.model_fields[key].annotation) is not dict:
        choices = get_args(block.model_fields[key].annotation)
        return refused(
            key, value, one_of(choices, value if isinstance(value, str) else shown(value))
        )
    value = "…" if key in _SECRETS else value
    if get_origin(block.model_fields[key].annotation) is dict:
        key = ".".join(str(part) for part in first["loc"])
    if isinstance(value, str):
        value = _USER_AND_PASSWORD.sub("…@", value)
    ours = [e for e in errors if e["loc"][0] == first["loc"][0]]  # of a union: one each
    said = [str(cause or e["msg"]).removeprefix("Input should be ") for e in ours]
    return refused(key, value, " or ".join(dict.fromkeys(said)))


def one_of(choices: Iterable[str], wrong: str) -> str:
    """List choices, and the one that was probably meant."""
    return f"one of {', '.join(choices)}.{did_you_mean(wrong, choices)}"
