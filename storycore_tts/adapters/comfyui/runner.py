"""Drives the state machine of a job with events, requests and time."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.failures import closed_error
from storycore_tts.adapters.comfyui.protocol.job import JobMachine
from storycore_tts.adapters.comfyui.protocol.plan import Command, JobDone, JobPlan, Phase, Withdrawn
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.adapters.comfyui.transport.http import SubmissionUncertain
from storycore_tts.domain.jobs import SUSPENDED
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import OnProgress
from storycore_tts.errors import TTSError

_log = logging.getLogger(__name__)

Failed: TypeAlias = Callable[[TTSError, float], None]

# /interrupt accepts a prompt id since September 2025; before, it stops any running job.
_TARGETED_INTERRUPT = (0, 3, 60)
_CANCELS_BY_ID = (0, 26)  # /api/jobs/{id}/cancel


class JobRunner:
    """Runs one job: executes the commands of the state machine and passes on the results.

    Args:
        session: Session of the server.
        plan: Description of the job.
        report: Progress callback.
        restore: Uploads the files of the graph again.
    """

    def __init__(
        self,
        session: Session,
        plan: JobPlan,
        report: OnProgress,
        restore: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.machine = JobMachine(plan, connected=session.stream.connected)
        self._session = session
        self._report = report
        self._restore = restore
        self._loop = asyncio.get_running_loop()
        self._requests: dict[asyncio.Task[None], Failed | None] = {}
        self._bug: BaseException | None = None
        self._cancelled: asyncio.CancelledError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False

    async def run(self) -> JobDone:
        """Submit the job, follow it to its end and return the result.

        Raises:
            TTSError: The job was rejected, lost or timed out. If the server may have the job, the
                error is not ``retryable``, since a retry might run the job twice.
            asyncio.CancelledError: The caller was cancelled; raised after the job was withdrawn.
        """
        if self._session.closing:
            raise closed_error()
        with self._session.following(self):
            self._request(self._connect())
            try:
                await self._drive(self._report)
            finally:  # no effect unless a progress callback raised
                if self.machine.phase is not Phase.LEAVING:
                    self.machine.cancel(self._loop.time())
                await self._drive(lambda progress: None)
        if not self.machine.ended:
            self._session.adopt(self._loop.create_task(self._withdraw_to_the_end()))
        else:
            self._drop_requests()
        if self._cancelled is not None:
            raise self._cancelled
        if self.machine.error is not None:
            raise self.machine.error
        assert self.machine.done is not None
        return self.machine.done

    def notify(self, method: Callable[..., None], *what: object) -> None:
        """Call a method of the state machine with the given arguments and the current time."""
        method(*what, self._loop.time())
        self._wake()

    def abandon(self) -> None:
        """Stop immediately."""
        self.machine.abandon()
        self._wake()

    # The loop

    async def _drive(self, report: OnProgress) -> None:
        """Execute commands until the job has ended or the caller may stop waiting."""
        machine = self.machine
        while True:
            self._perform()
            for progress in machine.take_progress():
                report(progress)
            leave_by = machine.leave_by if machine.phase is Phase.LEAVING else math.inf
            if machine.ended or self._loop.time() >= leave_by:
                return
            try:
                await self._wait(min(machine.deadline, leave_by))
            except asyncio.CancelledError as error:
                # Raised again at the end of run, after the job was withdrawn.
                self._cancelled = self._cancelled or error
                machine.cancel(self._loop.time(), suspended=SUSPENDED in error.args)
            machine.tick(self._loop.time())

    async def _withdraw_to_the_end(self) -> None:
        with self._session.following(self):
            while not self.machine.ended:
                self._perform()
                await self._wait(self.machine.deadline)
                self.machine.tick(self._loop.time())
        self._drop_requests()

    async def _wait(self, deadline: float) -> None:
        """Wait for ``_wake`` or until ``deadline``."""
        if not self._woken:
            self._waiter = self._loop.create_future()
            timer = None if deadline == math.inf else self._loop.call_at(deadline, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._woken = False

    def _wake(self) -> None:
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Requests

    def _perform(self) -> None:
        if self._bug is not None:
            raise self._bug
        machine = self.machine
        for command in machine.take_commands():
            match command:
                case Command.SUBMIT:
                    self._request(self._submit(), machine.submission_uncertain)
                case Command.POLL_QUEUE:
                    self._session.poll_queue()
                case Command.FETCH_HISTORY:
                    fetching = self._session.http.history(machine.prompt_id)
                    self._ask(fetching, machine.history_answered, machine.history_failed)
                case Command.RESTORE_FILES:
                    assert self._restore is not None
                    self._ask(self._restore(), machine.files_restored, machine.restoring_failed)
                case Command.WITHDRAW:
                    self._ask(self._remove(), machine.withdrawn, machine.withdrawal_failed)

    def _ask(
        self, work: Awaitable[Any], answered: Callable[[Any, float], None], failed: Failed
    ) -> None:
        async def asked() -> None:
            try:
                answer = await work
            except TTSError as error:
                self.notify(failed, error)
            else:
                self.notify(answered, answer)

        self._request(asked(), failed)

    def _request(self, work: Coroutine[Any, Any, None], failed: Failed | None = None) -> None:
        """Run a request in the background; call ``failed`` if it is cancelled by the session."""
        task = self._loop.create_task(work)
        self._session.adopt(task)
        self._requests[task] = failed
        task.add_done_callback(self._request_ended)

    def _request_ended(self, task: asyncio.Task[None]) -> None:
        failed = self._requests.pop(task, None)
        if not task.cancelled():
            self._bug = self._bug or task.exception()
        elif failed is not None:
            failed(closed_error(), self._loop.time())
        self._wake()

    def _drop_requests(self) -> None:
        for task in tuple(self._requests):
            self._requests[task] = None
            task.cancel()

    async def _connect(self) -> None:
        await self._session.stream.settle(self._session.config.comfyui.timeouts.connect)
        self.machine.start(self._loop.time())

    async def _submit(self) -> None:
        machine, client_id = self.machine, self._session.stream.client_id
        try:
            answer = await self._session.http.submit(
                machine.graph, prompt_id=machine.prompt_id, client_id=client_id
            )
        except SubmissionUncertain as uncertain:
            self.notify(machine.submission_uncertain, uncertain.cause)
        except TTSError as error:
            self.notify(machine.submission_refused, error)
        else:
            self.notify(machine.submitted, answer.prompt_id, answer.node_errors)

    async def _remove(self) -> Withdrawn:
        """Delete the job from the queue, or interrupt it."""
        http, machine = self._session.http, self.machine
        server = await self._session.server()
        prompt_id, listed = machine.prompt_id, None
        if not machine.certain:
            listed = machine.listed(await http.queue())
            prompt_id = listed or prompt_id
        if server.at_least(*_CANCELS_BY_ID):
            found = await http.cancel_job(prompt_id)
            if found and machine.submissions <= 1:
                runs = not machine.alive and prompt_id in (await http.queue()).running
                return Withdrawn(listed, runs)
        # The server deletes one entry per mention, and the job may be queued more than once.
        await http.delete_pending(prompt_id, times=max(1, machine.submissions))
        runs = prompt_id in (await http.queue()).running
        if runs:
            if server.at_least(*_TARGETED_INTERRUPT):
                await http.interrupt(prompt_id)
            else:
                fields = {"job": prompt_id, "version": server.version}
                log_event(_log, logging.WARNING, "job.runs_on", backend=BACKEND, **fields)
        return Withdrawn(listed, runs)
