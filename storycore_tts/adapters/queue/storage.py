"""The database of jobs: an SQLite file in a folder, or PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from storycore_tts.errors import ConfigurationError, StorageFailed

BATCH = 500  # ids per query
_BUSY = 30_000  # ms that a writer waits for a lock
SCHEMA_LOCK = 7_301_866_112_044_021  # PostgreSQL: held while creating the tables
SUBMISSION_LOCK = 7_301_866_112_044_022  # held while counting queued jobs and adding one
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")
_REFUSALS = (SQLAlchemyError, sqlite3.Error, psycopg.Error, OSError)


# Both sides detect a lost connection within seconds; the server then releases our locks.
_CONNECTING: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "storycore-tts",
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 11_000,
}
_NOTICING = (
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = 11000",
    "SET idle_in_transaction_session_timeout = 60000",
)


def batches(ids: Collection[str]) -> Iterator[list[str]]:
    """Split ids into lists that are short enough for the parameters of one query."""
    found = list(ids)
    for start in range(0, len(found), BATCH):
        yield found[start : start + BATCH]


class Storage:
    """A database and, in a folder, the lock of the process that runs its jobs.

    Args:
        database_url: ``postgresql://…``, or None for a file in ``state_dir``.
        state_dir: The folder of the file; not used if there is a URL.

    Raises:
        ConfigurationError: The URL is not a PostgreSQL URL.
    """

    def __init__(self, database_url: str | None, state_dir: Path) -> None:
        self.is_postgres = database_url is not None
        self.insert = postgresql.insert if self.is_postgres else sqlite.insert
        self.state_dir = state_dir
        self._lock: sqlite3.Connection | None = None
        self._one_writer = threading.Lock()  # SQLite has one writer, and makes others sleep
        if database_url is None:
            self._url = URL.create("sqlite", database=str(state_dir / "store.sqlite"))
            self._engine = _sqlite(self._url)
        else:
            self._url = _postgres_url(database_url)
            self._engine = _postgres(self._url)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a connection for queries."""
        with self.failures(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, lock: int | None = None) -> Iterator[sa.Connection]:
        """Run a transaction, which is committed to disk when the block ends.

        Args:
            lock: Number of a lock. Transactions with the same number run one at a time across all
                processes. In SQLite, all transactions run one at a time.
        """
        with self.failures():
            if self.is_postgres:
                with self._engine.begin() as connection:
                    if lock is not None:
                        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
                    yield connection
            else:
                with self._one_writer, self._engine.begin() as connection:
                    connection.execute(sa.text("BEGIN IMMEDIATE"))
                    yield connection

    def upsert(
        self, connection: sa.Connection, table: sa.Table, row: dict[str, Any], *update: str
    ) -> None:
        """Insert a row. If its key exists, update some columns of the existing row."""
        [key] = table.primary_key.columns
        changes = {name: row[name] for name in update}
        statement = self.insert(table).values(row)
        connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=changes))

    def open(self, *, share: bool = False) -> None:
        """Lock the folder, or check that the server answers. Blocks.

        Args:
            share: Continue without the folder's lock if another process holds it.

        Raises:
            StorageFailed: Another process holds the folder's lock, or the database fails.
        """
        with self.failures():
            if not self.is_postgres and not self.take() and not share:
                raise StorageFailed(
                    f"Another process uses the folder of jobs {self.state_dir}.",
                    hint="Stop it first, or give this one a folder of its own: --state-dir FOLDER, "
                    "or server.state_dir. To share the work between processes, give them a "
                    "PostgreSQL database (server.database_url).",
                )
            with self._engine.connect() as connection:
                connection.execute(sa.text("SELECT 1"))

    @property
    def does_jobs(self) -> bool:
        """Whether this process may run jobs: in a folder, only the one that holds its lock."""
        return self.is_postgres or self._lock is not None

    def take(self) -> bool:
        """Try to lock the folder; return whether this process holds the lock.

        The operating system releases it when the process dies.

        Raises:
            StorageFailed: The lock file cannot be opened or written.
        """
        with self.failures():
            if self._lock is None:
                self._lock = _locked(self.state_dir / "lock")
        return self._lock is not None

    def lone_connection(self) -> sa.Connection:
        """Return a dedicated PostgreSQL connection, which keeps its advisory locks."""
        alone = _postgres(self._url, poolclass=sa.NullPool)
        return alone.execution_options(isolation_level="AUTOCOMMIT").connect()

    def close(self) -> None:
        """Close all connections and release the folder's lock."""
        self._engine.dispose()
        self.give_back()

    def give_back(self) -> None:
        """Release the folder's lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextmanager
    def failures(self, url: URL | None = None) -> Iterator[None]:
        """Convert database errors into ``StorageFailed``, without the password or any data.

        Args:
            url: The database, for the message; None: this one.
        """
        try:
            yield
        except _REFUSALS as error:
            raise StorageFailed(
                f"The database of jobs ({(url or self._url).render_as_string()}) fails: "
                f"{self._reason(error)}.",
                hint="Check that it is running, accepts connections and has free space."
                if self.is_postgres
                else "Check that the disk has free space, the file is not damaged, and this user "
                "may write there.",
            ) from None

    def _reason(self, error: Exception) -> str:
        said = getattr(error, "orig", None) or error
        lines = str(said).strip().splitlines() or [type(said).__name__]
        password = self._url.password
        reason = lines[0].replace(str(password), "***") if password else lines[0]
        return reason[:300].rstrip(". ")


def _locked(file: Path) -> sqlite3.Connection | None:
    """Lock a file until the connection closes or the process dies; None if already locked."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if "locked" not in str(error):
            raise
        return None
    return lock


def _sqlite(url: URL) -> sa.Engine:
    engine = sa.create_engine(url, pool_size=8, max_overflow=8, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # ``writing`` begins transactions
        connection.execute(f"PRAGMA busy_timeout={_BUSY}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _postgres(url: URL, **options: Any) -> sa.Engine:
    sizes = {} if options else {"pool_size": 8, "max_overflow": 8, "pool_pre_ping": True}
    engine = sa.create_engine(
        url, hide_parameters=True, connect_args=_CONNECTING, **sizes, **options
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            for statement in _NOTICING:
                cursor.execute(statement)
        connection.commit()

    return engine


def _postgres_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        url = None
    if url is None or url.drivername not in _POSTGRES or not url.database or _leaks(url):
        raise ConfigurationError(
            "The URL of the job database is not a PostgreSQL URL.",
            key="tts.qwen.server.database_url",
            allowed="postgresql://user:password@host:5432/database",
            hint="Use postgresql://user:password@host:5432/database, or null for a file.",
        )
    return url.set(drivername="postgresql+psycopg")


def _leaks(url: URL) -> bool:
    """Return whether part of the password is where it would be shown.

    This happens if the password contains an @ that is not escaped as %40, or is a query parameter.
    """
    return "@" in (url.host or "") or "@" in (url.database or "") or "password" in url.query
