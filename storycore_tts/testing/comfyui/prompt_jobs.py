"""The job queue, the history, and the cache of node results."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .faults import Faults
from .log import Deleted, StandInLog
from .nodes import Result
from .object_info import NodeInfo
from .storage import Storage


@dataclass(frozen=True, eq=False)
class PromptJob:
    """An accepted graph, and the output nodes to run."""

    number: float
    prompt_id: str
    graph: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]

    @property
    def client_id(self) -> str | None:
        """Client that submitted the job and gets its frames."""
        client_id: str | None = self.extra_data.get("client_id")
        return client_id

    def entry(self) -> list[Any]:
        """Return the entry in /queue and /history; the id is at index 1."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]


class JobQueue:
    """Jobs in order of their numbers; one runs at a time."""

    def __init__(self, log: StandInLog, faults: Faults) -> None:
        self._log = log
        self._faults = faults
        self._heap: list[tuple[float, int, PromptJob]] = []
        self._arrivals = itertools.count()
        self._filled = asyncio.Event()
        self.running: PromptJob | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called whenever the number of jobs may have changed."""

    @property
    def pending(self) -> list[PromptJob]:
        """Pending jobs in ComfyUI's order, which is that of a heap."""
        return [job for _, _, job in self._heap]

    @property
    def remaining(self) -> int:
        """Number of pending and running jobs."""
        return len(self._heap) + (self.running is not None)

    def put(self, job: PromptJob) -> None:
        """Add a job."""
        heapq.heappush(self._heap, (job.number, next(self._arrivals), job))
        self._filled.set()
        self.changed()

    async def take(self) -> PromptJob:
        """Wait for the next job, mark it as running and return it."""
        while True:
            while not self._heap:
                # A loop, since the job may be deleted before this task continues.
                await self._filled.wait()
            job = self._heap[0][2]
            # While held, the job can still be deleted or overtaken.
            await self._faults.pass_gate("queue", prompt_id=job.prompt_id, client_id=job.client_id)
            if self._heap and self._heap[0][2] is job:
                heapq.heappop(self._heap)
                self._note_emptiness()
                self.running = job
                self.changed()
                return job

    def done(self) -> None:
        """Record that the running job has ended."""
        self.running = None
        self.changed()

    def delete(self, prompt_ids: Collection[str]) -> int:
        """Delete pending jobs; return how many there were."""
        gone = [job for job in self.pending if job.prompt_id in prompt_ids]
        if gone:
            self._heap = [item for item in self._heap if item[2] not in gone]
            heapq.heapify(self._heap)
            self._note_emptiness()
            for job in gone:
                self._log.add(Deleted(prompt_id=job.prompt_id))
            self.changed()
        return len(gone)

    def clear(self) -> None:
        """Delete all pending jobs."""
        if not self.delete({job.prompt_id for job in self.pending}):
            self.changed()

    def _note_emptiness(self) -> None:
        if not self._heap:
            self._filled.clear()


HistoryEntry = dict[str, Any]


class History:
    """Ended jobs, oldest first, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, HistoryEntry] = OrderedDict()

    def add(self, prompt_id: str, entry: HistoryEntry) -> None:
        """Add an entry; it replaces an earlier one with the same prompt id."""
        self._entries[prompt_id] = entry
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def get(self, prompt_id: str) -> HistoryEntry | None:
        """Return an entry, or None."""
        return self._entries.get(prompt_id)

    def all(self) -> dict[str, HistoryEntry]:
        """Return all entries."""
        return dict(self._entries)

    def newest(self, count: int) -> dict[str, HistoryEntry]:
        """Return the newest entries, oldest first."""
        return dict(list(self._entries.items())[-count:] if count > 0 else [])

    def delete(self, prompt_id: str) -> None:
        """Delete an entry."""
        self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        """Delete all entries."""
        self._entries.clear()


class NodeCache:
    """Results of the nodes of the last run, by a signature of their inputs."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._results: dict[str, Result] = {}

    def signatures(self, graph: Mapping[str, Any], nodes: Mapping[str, NodeInfo]) -> dict[str, str]:
        """Return a signature for each node, from its class and all upstream inputs."""
        found: dict[str, str] = {}

        def sign(node_id: str) -> str:
            if node_id not in found:
                node = graph[node_id]
                parts: list[Any] = [node["class_type"]]
                info = nodes.get(node["class_type"])  # None: removed after the job was accepted
                if info and "unique_id" in info["input"].get("hidden", {}):
                    parts.append(node_id)
                for name, value in sorted(node["inputs"].items()):
                    if is_link(value, graph):
                        value = [sign(value[0]), value[1]]
                    parts.append([name, value])
                if node["class_type"] == "LoadAudio":
                    parts.append(self._storage.digest(node["inputs"]["audio"]))
                found[node_id] = json.dumps(parts)
            return found[node_id]

        for node_id, node in graph.items():
            if node["class_type"] in nodes:
                sign(node_id)
        return found

    def keep_only(self, signatures: Collection[str]) -> None:
        """Drop results that the next run cannot use."""
        self._results = {s: r for s, r in self._results.items() if s in signatures}

    def get(self, signature: str) -> Result | None:
        """Return the result of an earlier run, or None."""
        return self._results.get(signature)

    def put(self, signature: str, result: Result) -> None:
        """Store a result."""
        self._results[signature] = result

    def clear(self) -> None:
        """Drop all results (POST /free)."""
        self._results.clear()


def is_link(value: object, graph: Mapping[str, Any]) -> bool:
    """Return whether an input is the output of another node: ["id", slot]."""
    return isinstance(value, list) and len(value) == 2 and value[0] in graph
