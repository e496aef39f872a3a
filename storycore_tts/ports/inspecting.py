"""The ports for inspecting sound files: what is read from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from storycore_tts.sound.samples import Samples


@dataclass(frozen=True)
class ManifestProblem:
    """Why a manifest is not valid, or its signer not trusted.

    Args:
        code: C2PA's status code, such as "assertion.dataHash.mismatch"; "manifest.remote": the
            manifest is elsewhere and was not fetched; "manifest.unreadable": it is damaged.
        sentence: The same in plain words.
    """

    code: str
    sentence: str


@dataclass(frozen=True)
class Manifest:
    """What a signed file says of itself, and whether that holds.

    Everything but ``valid``, ``trusted``, ``changed`` and ``problems`` is only as good as these:
    anyone can sign anything with a certificate of their own.

    Args:
        valid: Whether the signature matches the file and its manifest.
        trusted: Whether, besides, the signer's certificate comes from one of the given authorities.
        changed: Whether the sound or its manifest was changed after it was signed; None: unknown,
            because the manifest cannot be read.
        signed_by: Name and organization in the signer's certificate.
        issuer: Name and organization of the authority that issued the certificate.
        signed_at: Time of the signature in ISO 8601, confirmed by a time authority; "" if none was
            asked.
        generator: Program and version that made the manifest.
        source_type: URI of IPTC's digital source type, of the first action that has one.
        created: Time of the first action, as the signer says, in ISO 8601.
        model: Model that generated the sound, as the signer says.
        actions: What was done, in order, such as "c2pa.created".
        ingredients: What it was made from, such as "inputTo: Recording of the cloned voice,
            sha256:9f86…".
        assertions: All statements by label, as JSON.
        problems: Why it is not valid or not trusted.
    """

    valid: bool
    trusted: bool
    changed: bool | None
    signed_by: str = ""
    issuer: str = ""
    signed_at: str = ""
    generator: str = ""
    source_type: str = ""
    created: str = ""
    model: str = ""
    actions: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    assertions: Mapping[str, Any] | None = None
    problems: tuple[ManifestProblem, ...] = ()


ReadTags: TypeAlias = Callable[[bytes], Mapping[str, str]]
"""Returns what a file says of itself, by lowercase names. Blocks."""

ReadManifest: TypeAlias = Callable[[bytes], Awaitable[Manifest | None]]
"""Returns the verified manifest of a file; None if there is none."""

ReadSamples: TypeAlias = Callable[[bytes], Awaitable[tuple[Samples, int]]]
"""Decodes a file to mono samples and their rate in Hz; raises ``InvalidReferenceAudio``."""
