"""A block of settings, and what is said of one that is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storycore_tts.errors import ConfigurationError, did_you_mean, shown

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
    key: str,
    value: object,
    allowed: str,
    *,
    unknown_key: bool = False,
    source: str = "",
    line: int | None = None,
) -> ConfigurationError:
    """Return the error that says which setting is refused, where it stands, and what is allowed.

    Args:
        key: Its dotted path.
        value: What was found there.
        allowed: What would be accepted, in words.
        unknown_key: The key itself is the mistake.
        source: The file, the variable or the option that holds it, if that is known.
        line: Its line in the file, from 1.
    """
    where = "".join(f"{part}:" for part in (source, line) if part)
    what = "is not a key that exists" if unknown_key else f"cannot be {shown(value)}"
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
    """Return a refusal as it reads from further outside.

    Args:
        refusal: What a block refused.
        key: The key as it is called there.
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
    """Turn pydantic's first objection into one sentence with key, value and what is allowed."""
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
    ours = [e for e in errors if e["loc"][:1] == first["loc"][:1]]  # of a union: one each
    said = [str(cause or e["msg"]).removeprefix("Input should be ") for e in ours]
    return refused(key, value, " or ".join(dict.fromkeys(said)))


def one_of(choices: Iterable[str], wrong: str) -> str:
    """List choices, and the one that was probably meant."""
    names = list(choices)
    return f"one of {', '.join(names)}.{did_you_mean(wrong, names)}"
