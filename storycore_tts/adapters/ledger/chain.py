"""The chain of records: its rules, without I/O.

A record is one line of JSON. Its ``seq`` counts from 1, and its ``previous`` is the SHA-256 hash of
the line before, without the line break. The ``Head`` of a chain is the number and the hash of its
last line. A copy kept elsewhere shows later whether anything up to there was changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from storycore_tts.errors import InvalidRequest, shown

Facts: TypeAlias = Mapping[str, Any]
"""What a record says, as JSON."""

CHECKPOINT = "checkpoint"
"""Kind of the records that stand for pruned ones."""


@dataclass(frozen=True)
class Head:
    """The end of a chain.

    Args:
        seq: Number of the last record; 0: there is none.
        hash: SHA-256 hash of its line, in hexadecimal digits.
    """

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def read(cls, text: str) -> Head:
        """Return a head from the text that ``str`` makes of it.

        Args:
            text: Such as "17:5f70…".

        Raises:
            InvalidRequest: It is no such text.
        """
        found = re.fullmatch(r"\s*0*(\d{1,18}):([0-9a-f]{64})\s*", text)
        if found is None:
            raise InvalidRequest(
                f"{shown(text)} is not the head of a ledger.",
                hint="storycore-tts ledger head prints it: a number, a colon and 64 digits.",
            )
        return cls(int(found[1]), found[2])


START = Head(0, "0" * 64)
"""The head of an empty chain."""


def line_of(facts: Facts, after: Head) -> bytes:
    """Return the next record of a chain as a line, without the line break.

    Args:
        facts: What it says.
        after: The head of the chain.
    """
    chained = {"seq": after.seq + 1, "previous": after.hash, **facts}
    return json.dumps(chained, ensure_ascii=False, separators=(",", ":")).encode()


def facts_in(line: bytes) -> Facts:
    """Return what a record says.

    Args:
        line: Its line.

    Raises:
        ValueError: It is not a record.
    """
    facts = json.loads(line)
    if not isinstance(facts, dict) or type(facts.get("seq")) is not int:
        raise ValueError("not a record")
    return facts


def head_of(line: bytes) -> Head:
    """Return the head of a chain that ends with this line.

    Args:
        line: Its last line.

    Raises:
        ValueError: It is not a record.
    """
    return Head(facts_in(line)["seq"], sha256(line).hexdigest())


@dataclass(frozen=True)
class Verdict:
    """What a check of a chain found.

    Args:
        records: Number of records.
        head: The head of the chain, as far as it holds.
        pruned: Number of the last record that was pruned; 0 if none was.
        problem: The first thing that is wrong, in words; "" if all is well.
    """

    records: int
    head: Head
    pruned: int
    problem: str


def check(lines: Iterable[bytes], *, end: Head | None, known: Head | None = None) -> Verdict:
    """Check a chain.

    Args:
        lines: Its lines, without line breaks.
        end: The head that was noted beside it; None if there is none.
        known: A head that was kept elsewhere; None if there is none.
    """
    chain = _Chain([head for head in (end, known) if head is not None])
    for line in lines:
        chain.add(line)
        if chain.problem:
            break
    else:
        chain.finish()
        if end is None and chain.records > 1 and not chain.problem:
            chain.problem = "the note of its end is missing: later records may be missing, too"
    return Verdict(chain.records, chain.head, chain.pruned.seq, chain.problem)


class _Chain:
    """A chain that is read line by line, up to the first problem.

    Args:
        noted: Heads that it had earlier.
    """

    def __init__(self, noted: Sequence[Head]) -> None:
        self.head = self.pruned = START
        self.records = 0
        self.problem = ""
        self._noted = noted
        self._inherited = ""  # what was wrong with records that were pruned
        self._vouched = str(START)  # what the last checkpoint says was pruned
        self._seen: dict[int, str] = {}  # hashes of the records that are noted

    def add(self, line: bytes) -> None:
        try:
            facts = facts_in(line)
        except ValueError:
            self.problem = f"record {self.head.seq + 1} cannot be read"
            return
        seq, previous = facts["seq"], facts.get("previous")
        if not self.records and seq > 1:
            self.head = self.pruned = Head(seq - 1, str(previous))
        if seq != self.head.seq + 1:
            self.problem = _gap(self.head.seq, seq)
        elif previous != self.head.hash:
            self.problem = _changed(self.head.seq, seq)
        elif facts.get("kind") == CHECKPOINT:
            self._vouched = str(facts.get("through"))
            self._inherited = self._inherited or str(facts.get("problem", ""))
        if not self.problem:
            self.head, self.records = Head(seq, sha256(line).hexdigest()), self.records + 1
            if any(head.seq == seq for head in self._noted):
                self._seen[seq] = self.head.hash

    def finish(self) -> None:
        """Check the beginning and the end."""
        if self._vouched != str(self.pruned) and self.pruned != START:
            self.problem = _gap(0, self.pruned.seq + 1)
        for head in self._noted:
            self.problem = self.problem or self._against(head)
        self.problem = self.problem or self._inherited

    def _against(self, head: Head) -> str:
        """Return what is wrong according to a head that was noted earlier."""
        if head.seq > self.head.seq:
            return _gap(self.head.seq, head.seq + 1)
        if head in (START, self.pruned):
            return ""
        if head.seq <= self.pruned.seq:
            return f"record {head.seq} was pruned, so that its hash proves nothing any more"
        if self._seen[head.seq] != head.hash:
            return f"record {head.seq} was changed, or one before it"
        return ""


def _changed(seq: int, following: int) -> str:
    if seq == 0:
        return "record 1 was changed"
    return f"record {seq} was changed, or the link of record {following} to it"


def _gap(last: int, following: int) -> str:
    """Return that the records between two are missing, or that they are out of order."""
    if following <= last + 1:
        return f"record {following} stands after record {last}"
    if following == last + 2:
        return f"record {last + 1} is missing"
    return f"records {last + 1} to {following - 1} are missing"
