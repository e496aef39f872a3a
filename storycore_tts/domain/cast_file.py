"""Parses and writes ``cast.yaml``; errors name the line."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from storycore_tts.domain.casting import Cast, CastVoice, Role
from storycore_tts.domain.languages import language_named
from storycore_tts.domain.stored_voices import name_key
from storycore_tts.errors import (
    ConfigurationError,
    UnsupportedLanguage,
    did_you_mean,
    shown,
)

_KEYS = ("voice", "checkpoint", "language", "instruct", "aliases")
_EMPTY = "tag:yaml.org,2002:null"


def read_cast(text: str, source: str) -> Cast:
    """Parse a cast from YAML; an empty document gives a cast without roles.

    Args:
        text: ``NAME: {voice: …, checkpoint: …, language: …, instruct: …, aliases: […]}``, of which
            only ``voice`` is required; or ``NAME: VOICE`` for short.
        source: Name of the file, for messages.

    Raises:
        ConfigurationError: The text is not valid YAML, or an entry is invalid. The message names
            the file, the line and the key.
    """
    try:
        document = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "it cannot be parsed"
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"{source}{where} is not valid YAML: {said}.", source=source
        ) from None
    if document is None or document.tag == _EMPTY:
        return Cast()
    if not isinstance(document, yaml.MappingNode):
        raise _refused(source, document, "", "must be a mapping of characters to voices")
    roles: list[Role] = []
    seen: dict[str, str] = {}
    for key, value in document.value:
        role = _role(source, _text(source, key, "a character"), value)
        for name in (role.name, *role.aliases):
            if (other := seen.setdefault(name_key(name), role.name)) is not role.name:
                raise _refused(source, key, role.name, f"has the name {name!r}, as has {other!r}")
        if role.name in (one.name for one in roles):
            raise _refused(source, key, role.name, "is defined twice")
        roles.append(role)
    return Cast(roles)


def written(roles: Iterable[Role], *, newline: str = "\n") -> str:
    """Return roles as YAML entries that ``read_cast`` accepts, in the given order.

    Args:
        roles: The roles.
        newline: Line ending of the file.
    """
    parts = [
        yaml.safe_dump(
            {role.name: _fields(role)},
            allow_unicode=True,
            sort_keys=False,
            default_flow_style=None,
            width=10_000,
        )
        for role in roles
    ]
    return "".join(parts).replace("\n", newline)


def _fields(role: Role) -> dict[str, object]:
    voice = role.voice
    fields: dict[str, object] = {
        "voice": voice.voice,
        "checkpoint": voice.checkpoint,
        "language": voice.language,
        "instruct": voice.instruct,
        "aliases": list(role.aliases),
    }
    return {key: value for key, value in fields.items() if value}


def _role(source: str, name: str, node: yaml.Node) -> Role:
    if isinstance(node, yaml.ScalarNode):
        return Role(name, CastVoice(_text(source, node, f"{name}.voice")))
    if not isinstance(node, yaml.MappingNode):
        raise _refused(source, node, name, "must be a voice, or a mapping with one")
    fields: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = _text(source, key_node, f"a key of {name}")
        if key not in _KEYS:
            said = f"is not a valid key. Allowed: {', '.join(_KEYS)}"
            raise _refused(source, key_node, f"{name}.{key}", said, did_you_mean(key, _KEYS))
        if key in fields:
            raise _refused(source, key_node, f"{name}.{key}", "is defined twice")
        fields[key] = value
    if "voice" not in fields:
        raise _refused(source, node, name, "has no voice")
    said_of = {
        key: _text(source, value, f"{name}.{key}")
        for key, value in fields.items()
        if key != "aliases"
    }
    language = said_of.get("language")
    if language is not None:
        try:
            language = language_named(language)
        except UnsupportedLanguage as error:
            why = f"is invalid: {error.message.rstrip('.')}"
            raise _refused(source, fields["language"], f"{name}.language", why) from None
    voice = CastVoice(
        said_of["voice"], said_of.get("checkpoint"), language, said_of.get("instruct", "")
    )
    return Role(name, voice, _aliases(source, name, fields.get("aliases")))


def _aliases(source: str, name: str, node: yaml.Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise _refused(source, node, f"{name}.aliases", "must be a list of names")
    return tuple(_text(source, one, f"{name}.aliases") for one in node.value)


def _text(source: str, node: yaml.Node, key: str) -> str:
    """Return a scalar as a string, whatever its YAML type: a name may be written as 1."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == _EMPTY or not node.value.strip():
        raise _refused(source, node, key, "must be a non-empty string")
    return str(node.value).strip()


def _refused(
    source: str, node: yaml.Node, key: str, said: str, suggestion: str = ""
) -> ConfigurationError:
    what = f" {key}" if key else ""
    return ConfigurationError(
        f"{source}, line {node.start_mark.line + 1}:{what} {said}.{suggestion}",
        source=source,
        key=key or None,
        value=shown(node.value) if isinstance(node, yaml.ScalarNode) else None,
    )
