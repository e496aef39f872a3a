"""The queue of jobs, what became of them, and the cache of what their nodes returned."""

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
    """A graph that was accepted, and the output nodes that shall run."""

    number: float
    prompt_id: str
    graph: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]

    @property
    def client_id(self) -> str | None:
        """Who submitted it and gets its frames."""
        client_id: str | None = self.extra_data.get("client_id")
        return client_id

    def entry(self) -> list[Any]:
        """As /queue and /history show it; the id is at index 1."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]


class JobQueue:
    """Jobs by number, the lowest first; one runs at a time."""

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
        """Jobs that wait, in the order in which ComfyUI lists them (a heap's)."""
        return [job for _, _, job in self._heap]

    @property
    def remaining(self) -> int:
        """Jobs that wait or run."""
        return len(self._heap) + (self.running is not None)

    def put(self, job: PromptJob) -> None:
        """Add a job."""
        heapq.heappush(self._heap, (job.number, next(self._arrivals), job))
        self._filled.set()
        self.changed()

    async def take(self) -> PromptJob:
        """The next job, as soon as there is one; it is then the running one."""
        while True:
            while not self._heap:
                # Looped, because what was put may be deleted before this task's turn comes.
                await self._filled.wait()
            job = self._heap[0][2]
            # While it is held it can still be deleted, or another can overtake it.
            await self._faults.pass_gate("queue", prompt_id=job.prompt_id, client_id=job.client_id)
            if self._heap and self._heap[0][2] is job:
                heapq.heappop(self._heap)
                self._note_emptiness()
                self.running = job
                self.changed()
                return job

    def done(self) -> None:
        """The running job has ended."""
        self.running = None
        self.changed()

    def delete(self, prompt_ids: Collection[str]) -> int:
        """Take jobs out that have not started; how many there were."""
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
        """Take all out that have not started."""
        if not self.delete({job.prompt_id for job in self.pending}):
            self.changed()

    def _note_emptiness(self) -> None:
        if not self._heap:
            self._filled.clear()


HistoryEntry = dict[str, Any]


class History:
    """What became of jobs, the oldest first; forgets beyond a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, HistoryEntry] = OrderedDict()

    def add(self, prompt_id: str, entry: HistoryEntry) -> None:
        """Write an entry; a prompt id that is used again overwrites its old one."""
        self._entries[prompt_id] = entry
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def get(self, prompt_id: str) -> HistoryEntry | None:
        """One entry."""
        return self._entries.get(prompt_id)

    def all(self) -> dict[str, HistoryEntry]:
        """Everything."""
        return dict(self._entries)

    def newest(self, count: int) -> dict[str, HistoryEntry]:
        """The newest entries, the oldest of them first."""
        return dict(list(self._entries.items())[-count:] if count > 0 else [])

    def delete(self, prompt_id: str) -> None:
        """Forget one."""
        self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


class NodeCache:
    """What the nodes of the last run returned, by all that their results depend on."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._results: dict[str, Result] = {}

    def signatures(self, graph: Mapping[str, Any], nodes: Mapping[str, NodeInfo]) -> dict[str, str]:
        """A signature for every node: its class, its inputs, and those of all before it."""
        found: dict[str, str] = {}

        def sign(node_id: str) -> str:
            if node_id not in found:
                node = graph[node_id]
                parts: list[Any] = [node["class_type"]]
                info = nodes.get(node["class_type"])  # None: it has gone since the job was accepted
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
        """Forget what the run that begins has no use for."""
        self._results = {s: r for s, r in self._results.items() if s in signatures}

    def get(self, signature: str) -> Result | None:
        """The result of an earlier run."""
        return self._results.get(signature)

    def put(self, signature: str, result: Result) -> None:
        """Keep a result."""
        self._results[signature] = result

    def clear(self) -> None:
        """Forget all (POST /free)."""
        self._results.clear()


def is_link(value: object, graph: Mapping[str, Any]) -> bool:
    """Whether an input is the output of another node: ["id", slot]."""
    return isinstance(value, list) and len(value) == 2 and value[0] in graph
