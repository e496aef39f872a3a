"""Finds and removes Markdown, tags, stage directions and emoji, which voices may read aloud."""

from __future__ import annotations

import html
import re

_SHOWN = 4  # pieces listed in a warning
_LONGEST_SHOWN = 30  # characters of a listed piece

# Each pattern takes linear time and is applied once, in this order.
_ATTRIBUTE = r"""\s+[\w:.-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+)"""
_RULES = tuple(
    (re.compile(pattern, re.MULTILINE), kept)
    for pattern, kept in (
        (rf"<!--[^<>]*-->|<\|[^<>|]*\|>|</?[A-Za-z][\w:.-]*(?:{_ATTRIBUTE})*\s*/?>", " "),
        (r"""!?\[([^\[\]\n]*)\]\([^()\s]*(?:[ ]"[^"\n]*")?\)""", r"\1"),  # the words of a link
        (r"\[[^\[\]\n]{1,60}\]", " "),  # [laugh]
        (r"^[ \t]*(?:```|~~~)[\w+-]*[ \t]*$", ""),
        (r"^[ \t]*(?:[-*_=][ \t]*){3,}$", ""),
        (r"^(?:[ \t]*(?:#{1,6}[ \t]+|>|[*+•][ \t]+))+[ \t]*", ""),
        # Leaves 3 * 4, 3*4 and snake_case alone.
        (r"\*{2,}|~~|`+|(?<![\w\s])\*|\*(?![\w\s])|(?<!\S)\*(?=\S)|(?<=\S)\*(?!\S)", ""),
        (r"(?<!\w)_+(?=\w)|(?<=[^\W_])_+(?!\w)", ""),
        ("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55]+", " "),
    )
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LEFT_OVER = re.compile(r"(?<![ \t])[ \t]+(?=[,.])|(?<=[ \t])[ \t]+")


def without_markup(text: str) -> str:
    """Return the text without Markdown, tags, stage directions in brackets, and emoji.

    Words between tags, in links and in bold are kept. URLs are kept unless they are the target of
    a link.
    """
    return _taken_apart(text)[0]


def markup_warnings(text: str) -> tuple[str, ...]:
    """Return a warning that lists the markup a voice may read aloud; () if there is none."""
    found = list(dict.fromkeys(_taken_apart(text)[1]))
    if not found:
        return ()
    named = ", ".join(f"“{_shortened(piece)}”" for piece in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (f"the voice may read {named}{more} aloud; strip_markup (--strip-markup) removes it",)


def _taken_apart(text: str) -> tuple[str, list[str]]:
    """Return the text without markup, and the pieces that were removed."""
    found = _ENTITY.findall(text)
    rest = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    for pattern, kept in _RULES:
        found += (piece[0].strip() for piece in pattern.finditer(rest))
        rest = pattern.sub(kept, rest)
    return (_LEFT_OVER.sub("", rest) if found else text), found


def _shortened(piece: str) -> str:
    return piece if len(piece) <= _LONGEST_SHOWN else f"{piece[: _LONGEST_SHOWN - 1]}…"
