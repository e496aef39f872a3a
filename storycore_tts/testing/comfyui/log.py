"""The log of the stand-in server: typed records that tests read and wait for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

from storycore_tts.testing.records import RecordLog


@dataclass(frozen=True, kw_only=True)
class Record:
    """A logged event; `at` is in seconds since the epoch."""

    at: float = field(default_factory=time.time)

    @property
    def kind(self) -> str:
        """Name of the record type in JSON."""
        return type(self).__name__


@dataclass(frozen=True, kw_only=True)
class Request(Record):
    """An HTTP request was answered; status 0 if it was not."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Submitted(Record):
    """POST /prompt put a job into the queue."""

    prompt_id: str
    client_id: str | None
    number: float
    graph: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Started(Record):
    """The server started a job from the queue."""

    prompt_id: str


@dataclass(frozen=True, kw_only=True)
class NodeRan(Record):
    """A node was executed, not taken from the cache."""

    prompt_id: str
    node_id: str
    node_type: str


@dataclass(frozen=True, kw_only=True)
class Finished(Record):
    """A run ended: outcome is success, error or interrupted."""

    prompt_id: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class InterruptRequested(Record):
    """POST /interrupt; prompt_id is None for a global one."""

    prompt_id: str | None


@dataclass(frozen=True, kw_only=True)
class Deleted(Record):
    """A pending job was deleted from the queue."""

    prompt_id: str


@dataclass(frozen=True, kw_only=True)
class Uploaded(Record):
    """A file was uploaded; size in bytes, name as the server returned it."""

    name: str
    subfolder: str
    size: int


@dataclass(frozen=True, kw_only=True)
class SocketOpened(Record):
    """A WebSocket was accepted."""

    client_id: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class SocketClosed(Record):
    """A WebSocket was closed."""

    client_id: str


@dataclass(frozen=True, kw_only=True)
class ModelLoaded(Record):
    """A checkpoint was loaded, replacing the one in memory."""

    model: str


@dataclass(frozen=True, kw_only=True)
class FaultUsed(Record):
    """A scripted fault was applied."""

    fault: str


@dataclass(frozen=True, kw_only=True)
class Held(Record):
    """A job reached a gate."""

    gate: str
    prompt_id: str | None


RECORDS: dict[str, type[Record]] = {
    cls.__name__: cls
    for cls in (
        Request, Submitted, Started, NodeRan, Finished, InterruptRequested, Deleted, Uploaded,
        SocketOpened, SocketClosed, ModelLoaded, FaultUsed, Held,
    )
}  # fmt: skip


def to_json(record: Record) -> dict[str, Any]:
    """Return the record as a JSON object with its kind."""
    return {"kind": record.kind, **asdict(record)}


def from_json(data: Mapping[str, Any]) -> Record:
    """Return the record for the result of `to_json`."""
    cls = RECORDS[data["kind"]]
    return cls(**{f.name: data[f.name] for f in fields(cls)})


class StandInLog(RecordLog[Record]):
    """The log of the server, with queries for tests."""

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._file: TextIO | None = file.open("a", encoding="utf-8") if file else None

    def add(self, record: Record) -> None:
        """Append a record and notify all waiting threads."""
        with self._changed:
            if isinstance(record, Request):
                self._requests[record.method, record.path] += 1
            if self._file:
                # Flushed after each line, so that the log survives if the server is killed.
                self._file.write(json.dumps(to_json(record)) + "\n")
                self._file.flush()
            super().add(record)

    def close(self) -> None:
        """Close the log file, if there is one."""
        with self._changed:
            if self._file:
                self._file.close()
                self._file = None

    def replace(self, records: Iterable[Record]) -> None:
        """Replace all records (used for the log of another process)."""
        with self._changed:
            self._records = list(records)
            self._requests = Counter(
                (record.method, record.path)
                for record in self._records
                if isinstance(record, Request)
            )
            self._changed.notify_all()

    @property
    def submitted(self) -> list[str]:
        """Prompt ids in order of submission."""
        return [record.prompt_id for record in self.of(Submitted)]

    def executions(self, prompt_id: str) -> int:
        """Return how often the server started a prompt."""
        return sum(record.prompt_id == prompt_id for record in self.of(Started))

    @property
    def executed_ids(self) -> list[str]:
        """Ids of prompts that have ended, with any outcome."""
        return [record.prompt_id for record in self.of(Finished)]

    @property
    def interrupted(self) -> list[str]:
        """Ids of prompts that were interrupted while running."""
        return [r.prompt_id for r in self.of(Finished) if r.outcome == "interrupted"]

    @property
    def interrupt_requests(self) -> list[str | None]:
        """Prompt ids of POST /interrupt; None for a global one."""
        return [record.prompt_id for record in self.of(InterruptRequested)]

    @property
    def deleted(self) -> list[str]:
        """Ids of prompts that were deleted from the queue."""
        return [record.prompt_id for record in self.of(Deleted)]

    @property
    def uploads(self) -> list[Uploaded]:
        """Accepted uploads."""
        return self.of(Uploaded)

    @property
    def ws_connections(self) -> list[str]:
        """Client ids of all accepted WebSockets."""
        return [record.client_id for record in self.of(SocketOpened)]

    @property
    def open_sockets(self) -> int:
        """Number of open WebSockets."""
        return len(self.of(SocketOpened)) - len(self.of(SocketClosed))

    @property
    def model_loads(self) -> list[str]:
        """Loaded checkpoints, in order."""
        return [record.model for record in self.of(ModelLoaded)]

    def http_count(self, path: str, method: str | None = None) -> int:
        """Return the number of requests to a path (without prefix and /api)."""
        with self._changed:
            return sum(
                count
                for (verb, where), count in self._requests.items()
                if where == path and method in (None, verb)
            )
