"""The files of a ledger. All methods block."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, cast

from storycore_tts.adapters.ledger.chain import (
    CHECKPOINT,
    START,
    Facts,
    Head,
    Verdict,
    check,
    facts_in,
    head_of,
    line_of,
)
from storycore_tts.adapters.ledger.facts import facts_of, text_hash
from storycore_tts.concurrency.shared_files import locked
from storycore_tts.domain.moments import utc_now
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest, StorageFailed

_TAIL = 65_536  # bytes; the last record lies in them
_SECRET = 32  # bytes
_SLACK = timedelta(days=1)  # between two prunings
_WHEN_PRUNED = " (found when older records were pruned)"
_DISK = "Free disk space, choose another tts.qwen.ledger.path, or switch the ledger off."


class Ledger:
    """A ``GenerationRecords`` in a file of JSON lines, chained by hashes; see ``chain``.

    Several processes may write to it at the same time. A record is on the disk when ``append``
    returns; if the process is killed while it writes, the next one removes the unfinished line.

    Beside the file lie its head (``.head``), which shows whether the end is missing, the secret
    of the hashes of texts (``.key``), and a lock. Only the owner may read them.

    Args:
        file: The file; created with the first record.
        keep_days: Days after which a record is pruned, at the latest a day later, when the next one
            is written; None: never.
        clock: Returns the time, in UTC.
    """

    def __init__(
        self, file: Path, *, keep_days: int | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.file = file
        self._head = file.with_name(f"{file.name}.head")
        self._key = file.with_name(f"{file.name}.key")
        self._lock = file.with_name(f".{file.name}.lock")
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        self._clock = clock

    def append(self, speech: Speech, data_sha256: str, suffix: str) -> None:
        """See ``GenerationRecords.append``."""
        with self._disk("write to"):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._lock):
                facts = facts_of(
                    speech,
                    file_sha256=data_sha256,
                    suffix=suffix,
                    moment=self._clock(),
                    secret=self._secret(),
                )
                with _private(self.file) as file:
                    line = line_of(facts, self._end(file))
                    file.write(line + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                self._note(head_of(line))
                if self._keep is not None:
                    self._prune(self._clock() - self._keep)

    def head(self) -> Head:
        """Return the number and the hash of the last record, to be kept elsewhere.

        Raises:
            StorageFailed: The file cannot be read, or its last record is damaged.
        """
        with self._disk("read"):
            if not self.file.exists():
                return START
            with self.file.open("rb") as file:
                return self._end(file)

    def verify(self, known: Head | None = None) -> Verdict:
        """Check the chain.

        Args:
            known: A head that was kept elsewhere; None if there is none.

        Raises:
            StorageFailed: The file cannot be read.
        """
        with self._disk("read"):
            end = self._noted()  # first: meanwhile others may write
            lines = self._lines()
        return check(lines, end=end, known=known)

    def records(self) -> Iterator[Facts]:
        """Return what the records say, oldest first.

        Raises:
            StorageFailed: The file cannot be read, or a record is damaged.
        """
        with self._disk("read"):
            lines = self._lines()
        for number, line in enumerate(lines, 1):
            try:
                yield facts_in(line)
            except ValueError:
                raise self._damaged(f"line {number} of {self.file} cannot be read") from None

    def text_hash(self, text: str) -> str:
        """Return the hash by which records name a text.

        Args:
            text: The text.

        Raises:
            StorageFailed: The secret of the ledger cannot be read.
        """
        with self._disk("read"):
            return text_hash(text, self._key.read_bytes() if self._key.exists() else b"")

    def _lines(self) -> list[bytes]:
        """Return the complete lines; what follows the last line break was never recorded."""
        if not self.file.exists():
            return []
        return self.file.read_bytes().split(b"\n")[:-1]

    def _end(self, file: BinaryIO) -> Head:
        """Return the head, and leave the file where the next record goes."""
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - _TAIL))
        *lines, unfinished = file.read().split(b"\n")
        noted = self._noted() or START
        if start:
            del lines[:1]  # the end of a line
        try:
            found = head_of(lines[-1]) if lines or start else START
        except (ValueError, LookupError):
            if noted == START:
                raise self._damaged(f"the end of {self.file} cannot be read") from None
            found = START
        if unfinished and file.writable():
            file.truncate(file.seek(size - len(unfinished)))
        # A gap or a change at the end is not hidden: the chain goes on from what was noted.
        return noted if noted.seq >= found.seq else found

    def _noted(self) -> Head | None:
        if not self._head.exists():
            return None
        try:
            return Head.read(self._head.read_text("ascii"))
        except (InvalidRequest, ValueError):
            return None

    def _note(self, head: Head) -> None:
        with _private(self._head) as file:  # of a fixed length, so that it is never cut
            file.write(f"{head.seq:018}:{head.hash}\n".encode())

    def _secret(self) -> bytes:
        with _private(self._key) as file:
            secret = file.read()
            if len(secret) != _SECRET:
                secret = secrets.token_bytes(_SECRET)
                file.seek(0)
                file.write(secret)
                file.flush()
                os.fsync(file.fileno())
        return secret

    def _prune(self, before: datetime) -> None:
        """Replace the oldest records by a checkpoint, at most once a day."""
        with self.file.open("rb") as file:
            if not _is_older(file.readline(), before - _SLACK):
                return
        lines = self._lines()
        verdict = check(lines, end=self._noted())
        old = sum(1 for _ in takewhile(lambda line: _is_older(line, before), lines[:-1]))
        first = facts_in(lines[old])
        checkpoint = {
            "kind": CHECKPOINT,
            "time": self._clock().isoformat(timespec="milliseconds"),
            "through": str(Head(first["seq"] - 1, str(first.get("previous")))),
        }
        if verdict.problem and not verdict.problem.endswith(_WHEN_PRUNED):
            checkpoint["problem"] = verdict.problem + _WHEN_PRUNED
        last = line_of(checkpoint, head_of(lines[-1]))
        draft = self.file.with_name(f".{self.file.name}.pruned")
        with _private(draft) as file:
            file.truncate()
            file.write(b"".join(line + b"\n" for line in [*lines[old:], last]))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.file)
        self._note(head_of(last))

    def _damaged(self, what: str) -> StorageFailed:
        return StorageFailed(
            f"The ledger is damaged: {what}.", hint="storycore-tts ledger verify says more."
        )

    @contextmanager
    def _disk(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageFailed(
                f"Cannot {verb} the ledger {self.file}: {error.strerror or error}.",
                hint=_DISK if verb == "write to" else None,
            ) from error


def _is_older(line: bytes, moment: datetime) -> bool:
    """Return whether a record is older than a moment; one that cannot be read is."""
    try:
        return datetime.fromisoformat(facts_in(line)["time"]) < moment
    except (ValueError, LookupError, TypeError):
        return True


def _private(file: Path) -> BinaryIO:
    """Open a file to read and write; only its owner may, if it is new."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    return cast(BinaryIO, os.fdopen(os.open(file, flags, 0o600), "r+b"))
