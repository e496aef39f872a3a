"""What is known of the consents to the use of stored voices: records, revocations and the time.

The records are in the ``voice.json`` of each voice. Beside the voices are ``.revoked``, a folder
with a file for each revocation, and ``.clock``, the latest time that was ever seen: a consent that
has expired stays expired when the clock is set back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from storycore_tts.domain.consent import Consent, Revocation, checkpoint_sha256
from storycore_tts.domain.moments import utc_now
from storycore_tts.domain.requests import CloneRequest
from storycore_tts.domain.stored_voices import StoredVoice, name_key
from storycore_tts.errors import ConsentRefused, StorageFailed
from storycore_tts.ports.operations import LineRequest
from storycore_tts.services.files import exists, replace_text
from storycore_tts.services.voice_files import (
    UNREADABLE,
    consent_in,
    damaged,
    disk,
    folder_name,
    read_document,
    reason_of,
    write_through,
)

_REVOKED = ".revoked"
_CLOCK = ".clock"
_CLOCK_STEP = timedelta(minutes=1)  # the file is not rewritten sooner


class Consents:
    """The consents to the use of the voices in a folder: a ``ConsentRecords``. Methods block.

    Args:
        folder: Folder of the voices.
        clock: Returns the current time, with a time zone.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._folder = folder
        self._clock = clock

    def check(self, request: LineRequest) -> None:
        """Check that a line may be spoken; see ``ConsentRecords.check``."""
        with disk(self._folder, "check the consent to the use of a voice"):
            revoked = self._files()
            given = request.voice_consent
            if not revoked and given is None:
                return
            reference = _reference_of(request)
            revocations = self._read(revoked, containing=reference[:32])
            for one in revocations:
                # A voice that was stored again has another consent, and is named by it.
                if given is None or one.consent_id == given.id:
                    raise one.refusal()
            if given is None:
                return
            record = self._record(given.voice).bound_to(reference, voice=given.voice)
            for one in revocations:  # the same consent may be that of a voice with another name
                if one.evidence_sha256 == record.evidence_sha256:
                    raise one.refusal()
            record.check(
                voice=given.voice,
                now=self._clock() if record.expires is None else self.now(),
                project=request.project,
                purpose=request.purpose,
                language=request.language,
            )

    def check_new(self, voice: StoredVoice) -> None:
        """Check that a voice may be stored: a revoked recording needs a new consent.

        Args:
            voice: The voice.

        Raises:
            ConsentRefused: The consent is the one that was revoked.
            OSError: The revocations cannot be read.
        """
        record = voice.consent_record
        for one in self._read(self._files(), containing=voice.reference_sha256[:32]):
            same = record is not None and (
                record.id == one.consent_id or record.evidence_sha256 == one.evidence_sha256
            )
            if record is None or same:
                raise ConsentRefused(
                    f"The consent to the use of this recording was revoked on "
                    f"{one.revoked:%Y-%m-%d %H:%M} UTC, when it was the voice {one.voice!r}.",
                    hint="Ask the person again; a new consent has other words, another document "
                    "or another recorded statement.",
                )

    def revoke(
        self, name: str, consent: Consent | None, reference_sha256: str, reason: str
    ) -> Revocation:
        """Record that a voice may not be used any more; it stays on record for good.

        Args:
            name: Name of the voice.
            consent: The consent that is revoked, if there is one.
            reference_sha256: See ``StoredVoice.reference_sha256``.
            reason: Why, in words; "" if unknown.

        Raises:
            OSError: The record cannot be written.
        """
        consent_id = consent.id if consent else ""
        revocation = Revocation(
            name,
            consent_id,
            reference_sha256,
            consent.evidence_sha256 if consent else "",
            self._clock(),
            reason,
            consent.owner if consent else "",
        )
        place = self._folder / _REVOKED
        place.mkdir(exist_ok=True)
        text = json.dumps(revocation.to_json(), ensure_ascii=False, indent=2) + "\n"
        file = place / f"{folder_name(name)}_{reference_sha256[:32]}_{consent_id}.json"
        with suppress(FileExistsError):  # an earlier call was interrupted
            write_through(file, text.encode())
        return revocation

    def revocations(self, name: str | None = None) -> list[Revocation]:
        """Return the revocations, the oldest first.

        Args:
            name: Name of a voice; None: of all voices.

        Raises:
            OSError: The revocations cannot be read.
            StorageFailed: A file is damaged.
        """
        containing = "" if name is None else f"{folder_name(name)}_"
        found = self._read(self._files(), containing=containing)
        return sorted(found, key=lambda one: (one.revoked, name_key(one.voice)))

    def now(self) -> datetime:
        """Return the time, or the latest time that was ever seen here if that is later.

        Raises:
            StorageFailed: The file with that time is damaged.
            OSError: The file cannot be read.
        """
        file, now = self._folder / _CLOCK, self._clock()
        try:
            latest = datetime.fromtimestamp(float(file.read_text("utf-8")), timezone.utc)
        except FileNotFoundError:
            latest = None
        except (ValueError, OverflowError) as error:
            raise StorageFailed(
                f"The file {file} holds no time: {error}.",
                hint="Check the clock of this machine, and remove the file.",
            ) from error
        if latest is None or now > latest + _CLOCK_STEP:
            with suppress(OSError):  # a folder that is read-only
                replace_text(file, f"{now.timestamp()}\n")
        return now if latest is None else max(now, latest)

    def _record(self, name: str) -> Consent:
        place = self._folder / folder_name(name)
        try:
            record = consent_in(read_document(place)) if exists(place) else None
        except FileNotFoundError:  # removed concurrently
            record = None
        except UNREADABLE as error:
            raise damaged(name, place, error) from error
        if record is None:
            raise ConsentRefused(
                f"The voice {name!r} has been removed, and the consent to its use with it.",
                hint="Services that share jobs must share tts.qwen.voices_dir too.",
            )
        return record

    def _files(self) -> list[Path]:
        try:
            return sorted((self._folder / _REVOKED).glob("*.json"))
        except FileNotFoundError:
            return []

    def _read(self, files: list[Path], *, containing: str) -> list[Revocation]:
        found = []
        for file in files:
            if containing not in file.name:
                continue
            try:
                found.append(Revocation.from_json(json.loads(file.read_text("utf-8"))))
            except UNREADABLE as error:
                raise StorageFailed(
                    f"The record of a revocation, {file}, is damaged: {reason_of(error)}.",
                    hint="Restore it from a backup: without it, the voice could be used again.",
                ) from error
        return found


def _reference_of(request: LineRequest) -> str:
    if isinstance(request, CloneRequest):
        return request.reference.sha256
    return checkpoint_sha256(request.checkpoint or "", request.speaker)
