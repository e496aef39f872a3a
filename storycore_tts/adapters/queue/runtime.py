"""DBOS, which keeps jobs and has them done. The only module that knows it; its methods block.

Workflows are plain functions on DBOS's threads, each of which waits for a coroutine on our loop:
DBOS would otherwise take over the loop's pool of threads, and leave it without one when it ends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions
from dbos import _dbos as dbos_module
from dbos._error import DBOSWorkflowIDInUseError
from dbos._serialization import Serializer
from dbos._utils import INTERNAL_QUEUE_NAME

from storycore_tts.adapters.queue.documents import Document
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.jobs import PRIORITIES, TooManyJobs

APPLICATION = "storycore-tts"
SCHEMA = "storycore_tts_dbos"  # in PostgreSQL; of our own, should the database have other users
VERSION = "1"  # of what is written in an order; a package that reads it does older ones' jobs
WORKFLOW = "storycore-tts.job"

QUEUED = ("ENQUEUED", "DELAYED")
RUNNING = ("PENDING",)
DONE = ("SUCCESS",)  # what we call failed, too: its document says which
CANCELLED = ("CANCELLED",)
BROKEN = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
ENDED = (*DONE, *CANCELLED, *BROKEN)

_logger = logging.getLogger(__name__)
_dbos_logger = logging.getLogger("dbos")


class Suspended(BaseException):
    """Ends a workflow's thread and leaves the workflow as it stands in the database.

    No ``Exception``, since DBOS would write that down as the workflow's outcome.
    """


Execute = Callable[[str, Document], Document]
"""Does a job in the calling thread; raises Suspended to leave it as it stands."""

_execute: Execute | None = None  # of the one DBOS that there can be in a process


@dataclass(frozen=True)
class Entry:
    """A job, as DBOS knows it.

    Args:
        id: Of the job.
        status: DBOS's word for its state.
        owner: What it was enqueued with.
        executor: The process that does it, or did last.
        created: In milliseconds, like the others; in SQLite they may be rounded down to seconds.
        started: When it was last taken from the queue.
        ended: When it ended.
        updated: When it last changed.
        order: Its document, if that was asked for.
        outcome: Its document, if that was asked for and there is one.
    """

    id: str
    status: str
    owner: str
    executor: str
    created: int
    started: int | None
    ended: int | None
    updated: int
    spec: Document | None
    outcome: Document | None


class Runtime:
    """A DBOS, of which there can be one in a process.

    Args:
        storage: The databases.
        executor: Name of this process.
        concurrency: Jobs that this process does at a time, for each backend for which it does any.
        polling: Seconds between two looks at each queue.
        max_attempts: How often a job is begun at most; one that kills its process ends here.
    """

    def __init__(
        self,
        storage: Storage,
        executor: str,
        concurrency: dict[str, int],
        polling: float,
        max_attempts: int,
    ) -> None:
        self._storage = storage
        self.executor = executor
        self._concurrency = concurrency
        self._polling = polling
        self._max_attempts = max_attempts
        self._client: DBOSClient | None = None
        self._hush = _DBOSLogFilter()
        self._engine = storage.engine()  # DBOS's own, to be closed when all others are not

    @staticmethod
    def check_alone() -> None:
        """Refuse to start where there is a DBOS already.

        Raises:
            StorageFailed: There is one.
        """
        if dbos_module._dbos_global_instance is not None:
            raise StorageFailed(
                "This process has a durable queue already, or uses DBOS itself.",
                hint="There can be one in a process: close the other one first.",
            )

    def prepare(self) -> None:
        """Bring DBOS's tables up to date and connect to them."""
        self._quieten()
        with self._storage.failures():
            self._client = DBOSClient(
                system_database_engine=self._storage.jobs,
                dbos_system_schema=SCHEMA,
                serializer=_JSON(),
                application_name=APPLICATION,
                retry_connection_errors=False,
            )
            self._client._sys_db.run_migrations()  # those who may not are those for whom it is done
        for backend, number in self._concurrency.items():
            self._register_queue(backend, number)

    def offer(self, backend: str, number: int) -> None:
        """Do jobs for one more backend; DBOS looks for new queues once a second."""
        self._concurrency[backend] = number
        self._register_queue(backend, number)
        running = dbos_module._dbos_global_instance
        if running is not None and running._listening_queues is not None:
            running._listening_queues.append(queue_name(backend))

    def _register_queue(self, backend: str, number: int) -> None:
        with self._storage.failures():
            self.client.register_queue(
                queue_name(backend), worker_concurrency=number, polling_interval_sec=self._polling
            )

    def launch(self, execute: Execute) -> None:
        """Begin to do jobs. To be called from a thread without a loop, lest DBOS adopt it."""
        global _execute
        self.check_alone()
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_engine": self._engine,
            "dbos_system_schema": SCHEMA,
            "use_listen_notify": False,  # nothing of ours is told in that way
            "application_version": VERSION,
            "executor_id": self.executor,
            "serializer": _JSON(),
            "log_level": "WARNING",
            "enable_otlp": False,
            "run_migrations": False,
            "notification_listener_polling_interval_sec": self._polling,  # the end waits for it
        }
        with self._storage.failures():
            DBOS(config=config)
            _execute = execute
            self._register()
            DBOS.listen_queues([queue_name(backend) for backend in self._concurrency])
            DBOS.launch()

    def destroy(self) -> None:
        """End it, so that there can be another one."""
        global _execute
        self._hush.all = True
        if _execute is not None:
            DBOS.destroy()
            _execute = None
            for event, listener in (("do_connect", _refuse), ("checkin", _close)):
                sa.event.listen(self._engine, event, listener)
            self._engine.dispose()
        if self._client is not None:
            self._client.destroy()
            self._client = None
        _dbos_logger.removeFilter(self._hush)

    @property
    def client(self) -> DBOSClient:
        """The way to the database that raises where DBOS itself would wait."""
        if self._client is None:
            raise StorageFailed("The queue of jobs is not open.", hint="Start it first.")
        return self._client

    def enqueue(self, job_id: str, owner: str, spec: Document, most: int) -> bool:
        """Accept a job, unless as many as ``most`` wait in the database already.

        Returns:
            False if there is one of that id, which stays as it is.

        Raises:
            TooManyJobs: They do.
        """
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": queue_name(spec["backend"]),
            "workflow_id": job_id,
            "workflow_id_reuse_policy": "reject",
            "app_version": VERSION,
            "authenticated_user": owner,
            "priority": 1 + PRIORITIES[1] - spec["priority"],  # DBOS: from 1, the least first
        }
        with self._storage.failures():
            try:
                with self._storage.one_at_a_time() as connection:
                    self._check_room(connection, most)
                    self.client.enqueue_in_transaction(connection, options, spec)
            except DBOSWorkflowIDInUseError:
                return False
        return True

    def _check_room(self, connection: sa.Connection, most: int) -> None:
        counts = self._counts(connection)
        if sum(counts.get(status, 0) for status in QUEUED) >= most:
            raise TooManyJobs(
                f"The queue is full: {most} jobs are waiting.", hint="Try again later."
            )

    def entry(self, job_id: str) -> Entry | None:
        """Return a job with its documents."""
        found = self.entries([job_id], documents=True)
        return found[0] if found else None

    def entries(self, job_ids: Collection[str], *, documents: bool = False) -> list[Entry]:
        """Return those of some jobs that there are."""
        if not job_ids:
            return []
        return self._list(workflow_ids=list(job_ids), load_input=documents, load_output=documents)

    def page(self, owner: str, statuses: Sequence[str], *, limit: int, offset: int) -> list[Entry]:
        """Return jobs of an owner with their documents, the youngest first."""
        return self._list(
            user=owner, status=list(statuses), limit=limit, offset=offset, sort_desc=True
        )

    def ended_before(self, before: int, limit: int) -> list[str]:
        """Return jobs that ended before a time, in milliseconds."""
        moment = datetime.fromtimestamp(before / 1000, timezone.utc).isoformat()
        found = self._list(
            status=list(ENDED),
            completed_before=moment,
            limit=limit,
            load_input=False,
            load_output=False,
        )
        return [entry.id for entry in found]

    def live_specs(self) -> Iterable[Document]:
        """Return the orders of all jobs that have not ended."""
        found = self._list(status=[*QUEUED, *RUNNING], load_output=False)
        return [entry.spec for entry in found if entry.spec is not None]

    def done_by(self, executor: str) -> list[str]:
        """Return the jobs that a process does, as the database has it."""
        found = self._list(
            status=list(RUNNING), executor_id=executor, load_input=False, load_output=False
        )
        return [entry.id for entry in found]

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs have each of DBOS's states that is no end."""
        with self._storage.failures(), self._storage.jobs.connect() as connection:
            return self._counts(connection)

    def _counts(self, connection: sa.Connection) -> Mapping[str, int]:
        jobs = sa.table(
            "workflow_status",
            sa.column("status"),
            sa.column("queue_name"),
            sa.column("application_name"),
            schema=SCHEMA if self._storage.is_postgres else None,
        )
        wanted = (
            sa.select(jobs.c.status, sa.func.count())
            .where(
                jobs.c.status.in_([sa.literal_column(f"'{s}'") for s in ("ENQUEUED", "PENDING")])
            )
            .where(jobs.c.application_name == APPLICATION)
            .group_by(jobs.c.status)
        )
        return {row[0]: row[1] for row in connection.execute(wanted)}

    def cancel(self, job_id: str) -> None:
        """Stop a job for good, unless it has ended. Who does it must be told besides."""
        with self._storage.failures():
            self.client.cancel_workflow(job_id)

    def delete(self, job_ids: list[str]) -> None:
        """Remove jobs."""
        with self._storage.failures():
            self.client.delete_workflows(job_ids)

    def recover(self, executor: str) -> None:
        """Put the jobs of a process that is no more back into their queues.

        DBOS's own way would leave out those with which the database fails, and not tell.
        """
        for job_id in self.done_by(executor):
            self.requeue(job_id, executor)

    def requeue(self, job_id: str, executor: str) -> None:
        """Put a job that a process was to do, and does not do, back into its queue."""
        with self._storage.failures():
            self.client._sys_db.reenqueue_for_recovery(job_id, [executor], INTERNAL_QUEUE_NAME)

    def _list(self, **criteria: Any) -> list[Entry]:
        with self._storage.failures():
            return [_entry(status) for status in self.client.list_workflows(**criteria)]

    def _register(self) -> None:
        registry = dbos_module._get_or_create_dbos_registry()
        registry.workflow_info_map.pop(WORKFLOW, None)  # it warns of what it knows already
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=self._max_attempts)(_workflow)

    def _quieten(self) -> None:
        if not _dbos_logger.handlers:  # it would make one for the terminal
            _dbos_logger.addHandler(logging.NullHandler())
        _dbos_logger.setLevel(logging.WARNING)
        _dbos_logger.addFilter(self._hush)


def queue_name(backend: str) -> str:
    """Return the name of a backend's queue."""
    return f"storycore-tts-{backend}"


def _workflow(spec: Document) -> Document:
    job_id = DBOS.workflow_id
    if _execute is None or job_id is None:  # it was begun while everything ends
        raise Suspended
    return _execute(job_id, spec)


def _refuse(*_: Any) -> None:
    """End a thread that DBOS left behind: it would try for ever, and the process never end."""
    raise Suspended


def _close(connection: Any, record: Any) -> None:
    """Close what such a thread gives back."""
    record.invalidate()


def _entry(status: Any) -> Entry:
    arguments = status.input["args"] if isinstance(status.input, dict) else []
    outcome = status.output if isinstance(status.output, dict) else None
    return Entry(
        id=status.workflow_id,
        status=status.status,
        owner=status.authenticated_user or "",
        executor=status.executor_id or "",
        created=int(status.created_at),
        started=None if status.dequeued_at is None else int(status.dequeued_at),
        ended=None if status.completed_at is None else int(status.completed_at),
        updated=int(status.updated_at),
        spec=arguments[0] if arguments else None,
        outcome=outcome,
    )


class _JSON(Serializer):
    """Writes what DBOS stores. Its own way is pickle, which runs code when it is read."""

    _ERROR = "storycore-tts error"

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):
            data = {self._ERROR: type(data).__name__}
        return json.dumps(data, allow_nan=False, separators=(",", ":"))

    def deserialize(self, serialized_data: str) -> Any:
        data = json.loads(serialized_data)
        if isinstance(data, dict) and self._ERROR in data:
            return RuntimeError(data[self._ERROR])
        return data

    def name(self) -> str:
        return "storycore_tts_json"


class _DBOSLogFilter(logging.Filter):
    """Keeps from the log what DBOS says of jobs that were cancelled or taken over, and at the end.

    None of it is a failure: a thread's result came too late and is not needed.
    """

    all = False

    def filter(self, record: logging.LogRecord) -> bool:
        if self.all:
            return False
        kind = record.exc_info[0] if record.exc_info else None
        if kind is not None and kind.__name__ in (
            "DBOSAwaitedWorkflowCancelledError",
            "DBOSNonExistentWorkflowError",
        ):
            return False
        return "outcome was not recorded" not in record.getMessage()
