"""A graph's way into the server's queue, and out of it again.

We choose the prompt id. After a doubtful submission we look for it in queue and history, and submit
the same graph with the same id again only where a server that answers does not know it: ComfyUI
keeps what it has just made, so that even then nothing is generated twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

from storycore_tts.adapters.comfyui.failures import (
    node_errors_error,
    refused_prompt_error,
)
from storycore_tts.adapters.comfyui.http_errors import BACKEND
from storycore_tts.adapters.comfyui.rules import (
    Graph,
    QueueSnapshot,
    Succeeded,
    graph_of_history,
    outcome_of_history,
)
from storycore_tts.adapters.comfyui.session import Session, WatchedJob
from storycore_tts.adapters.comfyui.transport import PromptRefused, SubmissionUncertain
from storycore_tts.domain.errors import BackendUnavailable, InvalidRequest, TTSError
from storycore_tts.domain.logs import log_event

_log = logging.getLogger(__name__)

# /interrupt takes a prompt id since September 2025; before, it stops whatever runs.
_TARGETED_INTERRUPT = (0, 3, 60)
_SUBMISSIONS = 3  # at most, of one job that the server does not seem to take
_PAUSE = (0.1, 0.4)  # s before the second submission, twice that before the third
_WITHDRAW_AGAIN = 0.3  # s

LOOKS = 3  # at queue and history, one after the other, before a job counts as unknown


class Submission:
    """One graph on its way into the queue; ``watched`` carries the id that the server knows it by.

    Args:
        session: Where it goes.
        graph: What shall run; after ``pick_up``, what does run.
        watched: The job as the session knows it.
    """

    def __init__(self, session: Session, graph: Graph, watched: WatchedJob) -> None:
        self.graph = graph
        self.may_live = False  # the server may have the job: an error must not be asked away
        self._session = session
        self._transport = session.transport
        self._timeouts = session.config.comfyui.timeouts
        self._watched = watched
        self._time = asyncio.get_running_loop().time
        self._certain = False  # the server named the job
        self._posts = 0
        self._posting: asyncio.Future[None] | None = None
        self._stale: Mapping[str, Any] | None = None  # history of an earlier run of the same id

    async def submit(self) -> None:
        """Put the graph into the queue, once.

        Raises:
            TTSError: It was refused, or could not be sent, or nobody knows what became of it:
                then ``may_live`` is true.
        """
        self._certain = False
        for attempt in range(1, _SUBMISSIONS + 1):
            try:
                return await self._post()
            except SubmissionUncertain as uncertain:
                cause = uncertain.cause
            except BackendUnavailable as error:
                if attempt == 1:
                    raise
                cause = error
            self._say(logging.INFO, "job.doubtful", error=type(cause).__name__)
            if await self._find(cause):
                return None
            if attempt < _SUBMISSIONS:
                await asyncio.sleep(attempt * random.uniform(*_PAUSE))
        raise cause

    async def pick_up(self) -> bool:
        """Look for a job of an earlier call with our id; tell whether it waits, runs or succeeded.

        Raises:
            BackendUnavailable: Nobody answers.
            InvalidRequest: The id is that of a job of another kind.
        """
        snapshot = await self._session.next_look()
        graph = snapshot.graphs.get(self._watched.prompt_id)
        if graph is None:
            entry = await self.entry()
            if entry is None:
                return False
            if not isinstance(outcome_of_history(entry), Succeeded):
                self._stale = entry
                return False
            graph = graph_of_history(entry)
        if not _same_kind(graph, self.graph):
            raise InvalidRequest(
                f"The job {self._watched.prompt_id} on the ComfyUI server is of another kind.",
                hint="Give each job a job_id of its own.",
                backend=BACKEND,
            )
        self.graph = graph
        self.may_live = self._certain = True
        self._say(logging.INFO, "job.found")
        return True

    async def entry(self) -> Mapping[str, Any] | None:
        """Return the job's entry in history; None where there is none, or one of an earlier run."""
        entry = await self._transport.history(self._watched.prompt_id)
        return None if entry == self._stale else entry

    async def withdraw(self) -> None:
        """Cancel the job wherever it is: on its way, waiting, running, or nowhere.

        A server that does not answer is told again, as long as ``timeouts.cancel`` allows.
        """
        if self._posting is not None and not self._posting.done():
            await asyncio.wait([self._posting])
        over = self._time() + self._timeouts.cancel
        # One that nobody has seen in the queue may still be on its way there.
        for _ in range(1 if self._certain else LOOKS):
            while not await self._told_to_remove() and not self._session.closed:
                if self._time() > over:
                    self._say(logging.WARNING, "job.abandoned")
                    return
                await asyncio.sleep(_WITHDRAW_AGAIN)
            if self._certain:
                break
            await asyncio.sleep(_WITHDRAW_AGAIN)
        self._say(logging.INFO, "job.withdrawn")

    async def _post(self) -> None:
        # A cancellation must not cut the request: the server would take the job all the same.
        self._posting = asyncio.ensure_future(self._put())
        await asyncio.shield(self._posting)

    async def _put(self) -> None:
        before, self.may_live = self.may_live, True
        self._posts += 1
        try:
            submitted = await self._transport.submit(
                self.graph,
                prompt_id=self._watched.prompt_id,
                client_id=self._session.stream.client_id,
            )
        except PromptRefused as refused:
            self.may_live = before
            raise refused_prompt_error(refused.body, self.graph) from None
        except TTSError:
            self.may_live = before
            raise
        self._is_known_as(submitted.prompt_id)
        if submitted.node_errors:  # the server runs what is left of the graph; we withdraw it
            raise node_errors_error(submitted.node_errors)
        self._say(logging.INFO, "job.submitted")

    async def _find(self, cause: TTSError) -> bool:
        """Look for a prompt that the server may have taken; tell whether it has.

        Raises:
            TTSError: ``cause``, when the server does not answer for too long.
        """
        looks, silent_since = 0, None
        while looks < LOOKS:
            try:
                known = self._listed(await self._session.next_look())
                if known is None and await self.entry() is not None:
                    known = self._watched.prompt_id
            except BackendUnavailable as error:
                silent_since = silent_since or self._time()
                if self._session.closed or self._time() - silent_since > self._timeouts.away:
                    raise cause from error
                continue
            if known is not None:
                self._is_known_as(known)
                self._say(logging.INFO, "job.found")
                return True
            looks, silent_since = looks + 1, None
        return False

    def _listed(self, snapshot: QueueSnapshot) -> str | None:
        """Return the id that the queue lists our graph by; old servers choose one of their own."""
        wanted = self._watched.prompt_id
        return wanted if wanted in snapshot.graphs else snapshot.find(self.graph)

    def _is_known_as(self, prompt_id: str) -> None:
        self._watched.prompt_id = prompt_id
        self._certain = True

    async def _told_to_remove(self) -> bool:
        """Tell whether the server answered when it was told to take the job away."""
        try:
            await self._remove()
        except TTSError as error:
            self._say(logging.DEBUG, "job.stays", error=error)
            return False
        return True

    async def _remove(self) -> None:
        """Take the job out of the queue, or interrupt it."""
        server = await self._session.server()
        if not self._certain:
            listed = self._listed(await self._transport.queue())
            if listed is not None:
                self._is_known_as(listed)
        prompt_id = self._watched.prompt_id
        known = server.at_least(0, 26) and await self._transport.cancel_job(prompt_id)
        if known and self._posts <= 1:
            return
        await self._transport.delete_pending(prompt_id, times=max(1, self._posts))
        if prompt_id not in (await self._transport.queue()).running:
            return
        if server.at_least(*_TARGETED_INTERRUPT):
            await self._transport.interrupt(prompt_id)
        else:
            self._say(logging.WARNING, "job.runs_on", version=server.version)

    def _say(self, level: int, event: str, **fields: object) -> None:
        job = self._watched.prompt_id
        log_event(_log, level, event, job=job, backend=BACKEND, **fields)


def _same_kind(found: object, ours: Graph) -> bool:
    """Tell whether a graph has our nodes, so that it can be read like ours."""
    return isinstance(found, dict) and all(
        isinstance(found.get(node_id), dict)
        and found[node_id].get("class_type") == node["class_type"]
        and isinstance(found[node_id].get("inputs"), dict)
        for node_id, node in ours.items()
    )
