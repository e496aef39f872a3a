"""Inspects sound files of any program: what they say of themselves, and whether that holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

from storycore_tts.concurrency.admission import Admission
from storycore_tts.errors import (
    InvalidReferenceAudio,
    MarkingFailed,
    RecordingTooLarge,
    UnsupportedRecording,
)
from storycore_tts.ports.inspecting import Manifest, ReadManifest, ReadSamples, ReadTags
from storycore_tts.ports.marking import Watermark, WatermarkScore
from storycore_tts.sound.decoders import ACCEPTED, decoder_of

_MOST_ENTRIES = 50  # tags, actions and problems that are told; files of others may have thousands
_LONGEST = 500  # characters of a value
_ELSEWHERE, _UNTRUSTED = "manifest.remote", "signingCredential.untrusted"
_KNOWN = ("digitalsourcetype", "generator", "software", "created", "date", "model", "job")
_SIGNED = ("signed_by", "issuer", "signed_at", "generator", "source_type", "created", "model")

_SYNTHETIC = {
    *("trainedalgorithmicmedia", "algorithmicmedia"),
    *("compositewithtrainedalgorithmicmedia", "compositesynthetic"),
}
_RECORDED = {
    *("digitalcapture", "computationalcapture", "multiframecomputationalcapture"),
    *("compositecapture", "algorithmicallyenhanced", "humanedits", "minorhumanedits"),
}


class Claim(Enum):
    """What a source type says of a file."""

    SYNTHETIC = "that it is synthetic"
    RECORDED = "that it is a recording"


class Verdict(str, Enum):
    """What the findings amount to."""

    SYNTHETIC = "synthetic"
    """It is marked as synthetic, and nothing contradicts."""
    RECORDING = "recording"
    """It says that it is a recording, and nothing contradicts."""
    NOTHING = "nothing"
    """Nothing was found that says how it was made."""
    UNCHECKED = "unchecked"
    """It has a signature that could not be checked, and nothing else was found."""
    CONTRADICTORY = "contradictory"
    """Its tags, its signature and its watermark contradict each other."""
    BROKEN = "broken"
    """Its signature does not hold: it was changed after it was signed, or is damaged."""


@dataclass(frozen=True)
class NotChecked:
    """Why a file's signature or watermark was not checked.

    Args:
        reason: The reason, with what to do about it.
        present: Whether the file has one nevertheless.
    """

    reason: str
    present: bool = False


@dataclass(frozen=True)
class Inspection:
    """What was found in a file.

    Args:
        tags: What it says of itself without a signature, by lowercase names.
        signature: What it says with a signature; None: it has none.
        watermark: What the detector of watermarks heard.
    """

    tags: Mapping[str, str]
    signature: Manifest | NotChecked | None
    watermark: WatermarkScore | NotChecked

    @property
    def verdict(self) -> Verdict:
        """What the findings amount to."""
        if isinstance(self.signature, Manifest) and not self.signature.valid:
            return Verdict.BROKEN
        claims = {*self.claims.values(), *([Claim.SYNTHETIC] if self.is_watermarked else [])}
        if len(claims) > 1:
            return Verdict.CONTRADICTORY
        if claims:
            return Verdict.SYNTHETIC if Claim.SYNTHETIC in claims else Verdict.RECORDING
        return Verdict.UNCHECKED if isinstance(self.signature, NotChecked) else Verdict.NOTHING

    @property
    def claims(self) -> dict[str, Claim]:
        """What "tags" and "signature" say of how the file was made, if they say it."""
        said = {"tags": claim_of(self.tags.get("digitalsourcetype", ""))}
        if isinstance(self.signature, Manifest):
            said["signature"] = claim_of(self.signature.source_type)
        return {who: claim for who, claim in said.items() if claim is not None}

    @property
    def is_watermarked(self) -> bool:
        """Whether a watermark was found."""
        return isinstance(self.watermark, WatermarkScore) and self.watermark.found

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        return _SENTENCES[self.verdict](self)


def claim_of(source_type: str) -> Claim | None:
    """Return what one of IPTC's digital source types says of a file; None: neither.

    Args:
        source_type: Its code or URI, in any case.
    """
    code = source_type.strip().rstrip("/").rpartition("/")[2].lower()
    if code in _SYNTHETIC:
        return Claim.SYNTHETIC
    return Claim.RECORDED if code in _RECORDED else None


def _said(it: Inspection) -> str:
    claim = next(iter(it.claims.values()))
    return f"This file says {claim.value}{_signature(it)}{_watermark(it)}"


def _synthetic(it: Inspection) -> str:
    if it.claims:
        return _said(it)
    signed = isinstance(it.signature, Manifest)
    silent = "neither the file nor its signature says so" if signed else "the file does not say so"
    return f"A watermark of synthetic speech was found, although {silent}."


def _nothing(it: Inspection) -> str:
    sought = "was looked for" if isinstance(it.watermark, NotChecked) else "was found"
    if isinstance(it.signature, Manifest):
        said = f"This file does not say how it was made{_signature(it)} No watermark {sought}"
    else:
        said = f"This file says nothing of itself, and no watermark {sought}"
    return f"{said}; that does not prove that a person spoke it."


def _unchecked(it: Inspection) -> str:
    assert isinstance(it.signature, NotChecked)
    return f"This file has a signature that was not checked: {it.signature.reason}"


def _contradictory(it: Inspection) -> str:
    parts = [
        f"its {who} {'say' if who == 'tags' else 'says'} {claim.value}"
        for who, claim in it.claims.items()
    ]
    if it.is_watermarked:
        parts.append("a watermark of synthetic speech was found")
    return f"WARNING: this file contradicts itself: {', '.join(parts[:-1])}, but {parts[-1]}."


def _broken(it: Inspection) -> str:
    assert isinstance(it.signature, Manifest)
    if it.signature.changed:
        why = f"this file was changed after it was signed{_by(it.signature)}."
    else:
        reasons = [one.sentence for one in it.signature.problems if one.code != _UNTRUSTED]
        why = " ".join(["the signature of this file does not hold.", *reasons[:1]])
    claim = it.claims.get("tags") or it.claims.get("signature")
    said = f" It says {claim.value}, which anyone may have written." if claim else ""
    return f"WARNING: {why}{said}{_watermark(it)}"


_SENTENCES: Mapping[Verdict, Callable[[Inspection], str]] = {
    Verdict.SYNTHETIC: _synthetic,
    Verdict.RECORDING: _said,
    Verdict.NOTHING: _nothing,
    Verdict.UNCHECKED: _unchecked,
    Verdict.CONTRADICTORY: _contradictory,
    Verdict.BROKEN: _broken,
}


def _signature(it: Inspection) -> str:
    """Return what follows on what a file says: whether it is signed, and by whom."""
    if it.signature is None:
        return "; it is not signed, so anyone may have written that."
    if isinstance(it.signature, NotChecked):
        return "; its signature was not checked."
    by = _by(it.signature)
    if it.signature.trusted:
        return f", and its signature{by} is intact; the signer is on a trust list."
    return f", and its signature{by} is intact; the signer is not on a trust list."


def _by(manifest: Manifest) -> str:
    return f" by {manifest.signed_by}" if manifest.signed_by else ""


def _watermark(it: Inspection) -> str:
    return " A watermark of synthetic speech was found." if it.is_watermarked else ""


class Inspector:
    """Inspects sound files, which may come from anywhere.

    Args:
        read_tags: Reads tags.
        read_manifest: Reads manifests, or why they are not read.
        watermark: Finds watermarks, or why they are not looked for.
        read_samples: Decodes files for the detector of watermarks.
        max_bytes: Maximum size of a file in bytes.
        concurrency: Maximum number of files inspected at a time.
        max_waiting: Maximum number of files that wait; each is kept in memory.
    """

    def __init__(
        self,
        *,
        read_tags: ReadTags,
        read_manifest: ReadManifest | NotChecked,
        watermark: Watermark | NotChecked,
        read_samples: ReadSamples,
        max_bytes: int,
        concurrency: int = 2,
        max_waiting: int = 16,
    ) -> None:
        self._read_tags = read_tags
        self._read_manifest = read_manifest
        self._watermark = watermark
        self._read_samples = read_samples
        self._max_bytes = max_bytes
        self._admission = Admission(
            concurrency,
            max_waiting,
            state="files are being inspected or are waiting",
            hint="Send the file again later.",
        )

    async def inspect(self, data: bytes) -> Inspection:
        """Return what is found in a file.

        Args:
            data: The file.

        Raises:
            RecordingTooLarge: The file is larger than ``max_bytes``.
            UnsupportedRecording: It is not a sound file of a supported format.
            BackendOverloaded: Too many files are waiting.
        """
        self._check(data)
        async with self._admission.turn():
            tags = await asyncio.to_thread(self._read_tags, data)
            return Inspection(_shortened(tags), await self._signed(data), await self._heard(data))

    def _check(self, data: bytes) -> None:
        if len(data) > self._max_bytes:
            raise RecordingTooLarge(
                f"The file is {len(data)} bytes; the maximum is {self._max_bytes}."
            )
        if decoder_of(data[:1024]) is None:
            raise UnsupportedRecording(
                "This is not a sound file of a supported format, judging by its first bytes."
                if data
                else "The file is empty.",
                hint=f"Supported are {ACCEPTED}.",
            )

    async def _signed(self, data: bytes) -> Manifest | NotChecked | None:
        # Every manifest in a file has these marks; one elsewhere is named in XMP.
        if not (b"jumb" in data and b"c2pa" in data) and b"dcterms:provenance" not in data:
            return None
        if isinstance(self._read_manifest, NotChecked):
            return replace(self._read_manifest, present=True)
        manifest = await self._read_manifest(data)
        if manifest is None:
            return None
        for problem in manifest.problems:
            if problem.code == _ELSEWHERE:
                return NotChecked(_printable(problem.sentence), present=True)
        return _cleaned(manifest)

    async def _heard(self, data: bytes) -> WatermarkScore | NotChecked:
        if isinstance(self._watermark, NotChecked):
            return self._watermark
        try:
            samples, sample_rate = await self._read_samples(data)
        except InvalidReferenceAudio as error:
            return NotChecked(error.message)
        if not len(samples):
            return NotChecked("The file contains no sound.")
        try:
            return await asyncio.to_thread(self._watermark.detect, samples, sample_rate)
        except MarkingFailed as error:
            return NotChecked(str(error))


def _shortened(tags: Mapping[str, str]) -> dict[str, str]:
    first = {name: tags[name] for name in _KNOWN if name in tags}
    kept = islice({**first, **tags}.items(), _MOST_ENTRIES)
    return {_printable(name): _printable(value) for name, value in kept}


def _cleaned(manifest: Manifest) -> Manifest:
    """Return a manifest whose texts can be shown; their authors may mean ill."""
    texts: dict[str, Any] = {
        name: _printable(value) for name, value in vars(manifest).items() if isinstance(value, str)
    }
    problems = (
        replace(one, code=_printable(one.code), sentence=_printable(one.sentence))
        for one in manifest.problems[:_MOST_ENTRIES]
    )
    return replace(
        manifest,
        **texts,
        actions=tuple(map(_printable, manifest.actions[:_MOST_ENTRIES])),
        ingredients=tuple(map(_printable, manifest.ingredients[:_MOST_ENTRIES])),
        problems=tuple(problems),
    )


def _printable(text: str) -> str:
    """Return a text on one line, without what would control a terminal, and not too long."""
    line = " ".join(text[:_LONGEST].split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def to_json(inspection: Inspection) -> dict[str, Any]:
    """Return an inspection as JSON; the keys are stable.

    Args:
        inspection: The inspection.
    """
    return {
        "verdict": inspection.verdict.value,
        "sentence": inspection.sentence,
        "tags": _tags_as_json(inspection.tags),
        "signature": _signature_as_json(inspection.signature),
        "watermark": _watermark_as_json(inspection.watermark),
    }


def _tags_as_json(tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "source_type": tags.get("digitalsourcetype"),
        "generator": tags.get("generator", tags.get("software")),
        "created": tags.get("created", tags.get("date")),
        "model": tags.get("model"),
        "job": tags.get("job"),
        "all": dict(tags),
    }


def _signature_as_json(signature: Manifest | NotChecked | None) -> dict[str, Any]:
    if isinstance(signature, Manifest):
        return {
            "state": "intact" if signature.valid else "broken",
            "reason": None,
            "trusted": signature.trusted,
            "changed": signature.changed,
            **{name: getattr(signature, name) or None for name in _SIGNED},
            "actions": list(signature.actions),
            "ingredients": list(signature.ingredients),
            "problems": [vars(problem) for problem in signature.problems],
        }
    return {
        "state": "none" if signature is None else "not checked",
        "reason": signature.reason if signature else None,
        **dict.fromkeys(("trusted", "changed", *_SIGNED)),
        "actions": [],
        "ingredients": [],
        "problems": [],
    }


def _watermark_as_json(watermark: WatermarkScore | NotChecked) -> dict[str, Any]:
    if isinstance(watermark, NotChecked):
        reason = watermark.reason
        return {"state": "not checked", "reason": reason, "detector": None, "score": None}
    state = "found" if watermark.found else "none"
    return {
        "state": state,
        "reason": None,
        "detector": watermark.detector,
        "score": watermark.score,
    }
