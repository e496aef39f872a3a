"""Consent from options, and as a line of text."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from storycore_tts.entrypoints.cli import console, inputs

if TYPE_CHECKING:
    from storycore_tts.domain.consent import Consent


@dataclass(frozen=True)
class ConsentFlags:
    """Options for the consent to the use of a voice."""

    consent: Annotated[
        str,
        Option(
            "--consent",
            metavar="TEXT",
            help="Who consented to the use of this voice, and when; required for recordings.",
        ),
    ] = ""
    consent_by: Annotated[
        str, Option("--consent-by", metavar="NAME", help="Name of the person who consented.")
    ] = ""
    consent_document: Annotated[
        Path | None,
        Option("--consent-document", metavar="FILE", help="Signed document; its hash is kept."),
    ] = None
    consent_statement: Annotated[
        Path | None,
        Option(
            "--consent-statement",
            metavar="AUDIO",
            help="Recorded statement; its hash is kept, what is said in it is not checked.",
        ),
    ] = None
    projects: Annotated[
        list[str] | None,
        Option("--projects", metavar="NAME", help="Project that it covers; repeat for more."),
    ] = None
    purposes: Annotated[
        list[str] | None,
        Option("--purposes", metavar="NAME", help="Purpose that it covers; repeat for more."),
    ] = None
    languages: Annotated[
        list[str] | None,
        Option("--languages", metavar="NAME", help="Language that it covers; repeat for more."),
    ] = None
    expires: Annotated[
        str | None, Option("--expires", metavar="DATE", help="Last day of the consent, in UTC.")
    ] = None

    def record(self) -> Consent | None:
        """Return the consent; None if no option is given.

        Raises:
            InvalidRequest: A file cannot be read, or a value is not valid.
        """
        from storycore_tts.domain.consent import Consent, expiry

        if self == ConsentFlags():
            return None
        if self.consent_statement is not None:
            console.tell(
                "warning: what is said in the recorded statement was not checked: there is no "
                "speech recogniser yet"
            )
        return Consent(
            self.consent,
            given_by=self.consent_by,
            document_sha256=_hash(self.consent_document),
            statement_sha256=_hash(self.consent_statement),
            projects=tuple(self.projects or ()),
            purposes=tuple(self.purposes or ()),
            languages=tuple(self.languages or ()),
            expires=None if self.expires is None else expiry(self.expires),
        )


def summary(consent: Consent | None) -> str:
    """Return a consent as a line of text: kind, person, end and scope; "" if there is none.

    Args:
        consent: The consent.
    """
    if consent is None:
        return ""
    parts = [f"{consent.how} by {consent.given_by}" if consent.given_by else consent.how]
    if consent.expires is not None:
        parts.append(f"until {consent.expires:%Y-%m-%d %H:%M} UTC")
    scopes = {what: getattr(consent, what) for what in ("projects", "purposes", "languages")}
    parts += [f"{what}: {', '.join(names)}" for what, names in scopes.items() if names]
    return "; ".join(parts)


def _hash(file: Path | None) -> str:
    return "" if file is None else sha256(inputs.bytes_in(file)).hexdigest()
