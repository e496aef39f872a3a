"""Consent of a person to the use of their voice, and what is left when it is revoked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from storycore_tts.domain.languages import AUTO, language_named
from storycore_tts.domain.moments import in_utc, utc_now
from storycore_tts.domain.text import one_line, speakable
from storycore_tts.errors import ConsentRefused, InvalidRequest, shown

How: TypeAlias = Literal["text", "document", "statement"]
"""The strongest evidence of a consent: words, a signed document, or a recorded statement."""

AtOnce: TypeAlias = Literal["required", "warned", "off"]
"""What happens to a clone whose request states no consent."""

_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{32}")
_ASK_AGAIN = "Ask the person again, and store the voice with the new consent."


@dataclass(frozen=True)
class ConsentReference:
    """Names the consent under which a stored voice speaks a line.

    Args:
        voice: Name of the stored voice.
        id: Id of its consent when the request was made.
    """

    voice: str
    id: str


@dataclass(frozen=True)
class Consent:
    """A person's consent to the use of their voice.

    At least one kind of evidence is required. Of documents and recorded statements, only the hash
    is kept; a recorded statement is not compared with anything, since there is no recogniser yet.

    Args:
        text: Who agreed, and when, in words.
        given_by: Name of the person, or of who signed for them.
        document_sha256: Hash of a signed document, in hexadecimal digits.
        statement_sha256: Hash of the recording of a spoken statement.
        projects: The projects that it covers; empty: all.
        purposes: The purposes that it covers; empty: all.
        languages: The languages that it covers, by name, code or locale; empty: all.
        expires: When it ends, with a time zone; None: never.
        given: When it was recorded, with a time zone.
        owner: Key owner of a service who alone may use the voice there; "": everyone.
        reference_sha256: Hash of the recording that it was given for; "": not bound yet.
        id: 32 hexadecimal digits.

    Raises:
        InvalidRequest: There is no evidence, or a value is not valid.
        UnsupportedLanguage: The model does not support a language.
    """

    text: str = ""
    given_by: str = ""
    document_sha256: str = ""
    statement_sha256: str = ""
    projects: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    expires: datetime | None = None
    given: datetime = field(default_factory=utc_now)
    owner: str = ""
    reference_sha256: str = ""
    id: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        if self.text:
            self._set(text=speakable(self.text, what="consent"))
        for name in ("given_by", "owner"):
            if getattr(self, name):
                self._set(**{name: one_line(name, getattr(self, name))})
        for name in ("document_sha256", "statement_sha256", "reference_sha256"):
            _check(name, getattr(self, name), _HASH, "64 hexadecimal digits", optional=True)
        _check("id", self.id, _ID, "32 hexadecimal digits")
        self._set(projects=_names("projects", self.projects))
        self._set(purposes=_names("purposes", self.purposes))
        languages = map(language_named, _names("languages", self.languages))
        self._set(languages=tuple(dict.fromkeys(languages)))
        self._set(given=in_utc("given", self.given))
        if self.expires is not None:
            self._set(expires=in_utc("expires", self.expires))
        if not (self.text or self.document_sha256 or self.statement_sha256):
            raise InvalidRequest(
                "A consent needs words, a signed document or a recorded statement.",
                hint="Say who agreed, and when: 'my own voice, recorded on 2026-11-20'.",
            )

    @property
    def how(self) -> How:
        """The strongest evidence."""
        if self.statement_sha256:
            return "statement"
        return "document" if self.document_sha256 else "text"

    @property
    def words(self) -> str:
        """The text; without one, a description of the other evidence."""
        by = f" by {self.given_by}" if self.given_by else ""
        digest = self.statement_sha256 or self.document_sha256
        return self.text or f"{self.how}{by}, sha256 {digest}"

    @property
    def evidence_sha256(self) -> str:
        """Hash of all evidence, by which the same consent is recognized."""
        given = [self.text.casefold().split(), self.document_sha256, self.statement_sha256]
        return sha256(json.dumps(given).encode("utf-8", "surrogatepass")).hexdigest()

    def bound_to(self, reference_sha256: str, *, voice: str) -> Consent:
        """Return the consent, bound to a recording or a checkpoint.

        Args:
            reference_sha256: Hash of the recording; see ``checkpoint_sha256`` for a checkpoint.
            voice: Name of the voice, for messages.

        Raises:
            ConsentRefused: It is bound to another one.
        """
        if self.reference_sha256 not in ("", reference_sha256):
            raise ConsentRefused(
                f"The consent of the voice {voice!r} was given for another recording.",
                hint="Store the voice with a consent of its own; a consent cannot be copied, and "
                "the recording of a stored voice cannot be replaced.",
            )
        return replace(self, reference_sha256=reference_sha256)

    def check(
        self, *, voice: str, now: datetime, project: str, purpose: str, language: str
    ) -> None:
        """Check that the consent covers a line.

        Args:
            voice: Name of the voice, for messages.
            now: The time, with a time zone.
            project: Project of the line.
            purpose: Purpose of the line.
            language: Language of the line, in the model's spelling.

        Raises:
            ConsentRefused: It has expired, or does not cover the line.
        """
        if self.expires is not None and now >= self.expires:
            raise ConsentRefused(
                f"The consent to the use of the voice {voice!r} expired on "
                f"{self.expires:%Y-%m-%d %H:%M} UTC.",
                hint=_ASK_AGAIN,
            )
        _check_scope(voice, "project", project, self.projects)
        _check_scope(voice, "purpose", purpose, self.purposes)
        _check_scope(voice, "language", "" if language == AUTO else language, self.languages)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON, for ``from_json``."""
        values = {**asdict(self), "how": self.how, "given": self.given.isoformat()}
        values["expires"] = self.expires and self.expires.isoformat()
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Consent:
        """Return the consent of a document.

        Args:
            document: The result of ``to_json``.

        Raises:
            Exception: A ``LookupError``, ``TypeError``, ``ValueError``, ``AttributeError`` or
                ``InvalidRequest``: the document is damaged.
        """
        values = {one.name: document[one.name] for one in fields(cls)}
        for name in ("projects", "purposes", "languages"):
            values[name] = tuple(values[name])
        values["given"] = datetime.fromisoformat(values["given"])
        if values["expires"] is not None:
            values["expires"] = datetime.fromisoformat(values["expires"])
        return cls(**values)

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Revocation:
    """What is left of a revoked voice: neither audio nor words.

    Args:
        voice: Name of the voice.
        consent_id: Id of the revoked consent; "" if there was none.
        reference_sha256: Hash of the recording, or of the checkpoint's name.
        evidence_sha256: See ``Consent.evidence_sha256``; "" if there was no consent.
        revoked: When, in UTC.
        reason: Why, in words; "" if unknown.
        owner: See ``Consent.owner``.
    """

    voice: str
    consent_id: str
    reference_sha256: str
    evidence_sha256: str
    revoked: datetime
    reason: str = ""
    owner: str = ""

    def refusal(self) -> ConsentRefused:
        """Return the error for a line in this voice."""
        return ConsentRefused(
            f"The consent to the use of the voice {self.voice!r} was revoked on "
            f"{self.revoked:%Y-%m-%d %H:%M} UTC.",
            hint=_ASK_AGAIN,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, for ``from_json``."""
        return {**asdict(self), "revoked": self.revoked.isoformat()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Revocation:
        """Return the revocation of a document; raises as ``Consent.from_json`` does."""
        return cls(**{**document, "revoked": datetime.fromisoformat(document["revoked"])})


def checkpoint_sha256(checkpoint: str, speaker: str) -> str:
    """Return the hash that a checkpoint's consent is bound to: of its name, not of its weights.

    Args:
        checkpoint: Folder of the fine-tuned model, as the backend sees it.
        speaker: Name of the speaker in it.
    """
    return sha256(json.dumps(["checkpoint", checkpoint, speaker.casefold()]).encode()).hexdigest()


def expiry(text: str) -> datetime:
    """Return the time at which a consent ends: for a date, the end of that day in UTC.

    Args:
        text: "2027-01-31", or a time with a time zone: "2027-01-31T18:00:00+01:00".

    Raises:
        InvalidRequest: It is neither.
    """
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.fromisoformat(f"{text}T00:00:00+00:00") + timedelta(days=1)
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest(
            f"{shown(text)} is not a date.",
            hint="Write 2027-01-31, or 2027-01-31T18:00:00+01:00 with a time zone.",
        )
    return moment


def _check_scope(voice: str, what: str, value: str, covered: Sequence[str]) -> None:
    if not covered or value.casefold() in (one.casefold() for one in covered):
        return
    asked = f"not the {what} {value!r}" if value else f"and the request names no {what}"
    raise ConsentRefused(
        f"The consent to the use of the voice {voice!r} covers certain {what}s only, {asked}.",
        hint=f"It covers: {', '.join(covered)}.",
    )


def _check(
    name: str, value: object, wanted: re.Pattern[str], allowed: str, *, optional: bool = False
) -> None:
    if optional and value == "":
        return
    if not isinstance(value, str) or not wanted.fullmatch(value):
        raise InvalidRequest(f"{name} of a consent must be {allowed}, not {shown(value)}.")


def _names(what: str, names: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(names, tuple | list):
        raise InvalidRequest(f"{what} of a consent must be a list, not {shown(names)}.")
    return tuple(dict.fromkeys(one_line(what, name) for name in names))
