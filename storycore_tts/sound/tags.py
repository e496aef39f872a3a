"""The mark in a sound file: machine-readable tags that say that it is synthetic speech."""

from __future__ import annotations

from dataclasses import dataclass

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""Prefix of the URIs of IPTC's digital source types."""

_SENTENCE = "Synthetic speech."


@dataclass(frozen=True)
class Tags:
    """What a sound file says of itself.

    Args:
        source_type: A code of IPTC's digital source types: "trainedAlgorithmicMedia" for speech of
            a model, "algorithmicMedia" for speech of a rule-based synthesizer.
        generator: Program and version that made it, such as "storycore-tts/1.0".
        created: When it was made, in ISO 8601, UTC.
        facts: Further facts by name, such as the model and the id of the job.
    """

    source_type: str
    generator: str
    created: str
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def source_uri(self) -> str:
        """The source type as a URI, as IPTC, XMP and C2PA write it."""
        return VOCABULARY + self.source_type

    @property
    def comment(self) -> str:
        """All of it in one line, for the comment field that every container has.

        A sentence for people, then ``name=value`` pairs, separated by semicolons.
        """
        pairs = (
            ("digitalSourceType", self.source_uri),
            ("generator", self.generator),
            ("created", self.created),
            *self.facts,
        )
        return f"{_SENTENCE} " + "; ".join(f"{name}={_plain(value)}" for name, value in pairs)


def facts_in(comment: str) -> dict[str, str]:
    """Return the facts in a comment that ``Tags.comment`` wrote; {} for any other comment.

    Args:
        comment: The comment of a sound file.
    """
    _, found, rest = comment.partition("digitalSourceType=")
    pairs = f"{found}{rest}".split("; ") if found else []
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _plain(value: str) -> str:
    """Return a value without the characters that separate pairs, on one line."""
    return " ".join(value.replace(";", ",").split())
