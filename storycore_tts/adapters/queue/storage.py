"""Where jobs are kept: a folder with two SQLite files, or a PostgreSQL database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from dbos._error import DBOSException
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from storycore_tts.domain.errors import ConfigurationError, StorageFailed

_BUSY = 30_000  # ms that a writer waits for another one
_SUBMISSION_LOCK = 7_301_866_112_044_022  # its holder counts the jobs that wait, and adds one
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")
_REFUSALS = (SQLAlchemyError, DBOSException, sqlite3.Error, psycopg.Error, OSError)


# A server that vanishes is noticed by us; and we, should we vanish or hang, by the server, which
# then frees our locks.
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


class Storage:
    """The databases: ``jobs`` is DBOS's, ``own`` holds what it does not keep.

    Args:
        database_url: ``postgresql://…``, or None for files in ``state_dir``.
        state_dir: A folder that only this process uses; not touched if there is a URL.

    Raises:
        ConfigurationError: That is no URL of PostgreSQL.
    """

    def __init__(self, database_url: str | None, state_dir: Path) -> None:
        self.is_postgres = database_url is not None
        self._state_dir = state_dir
        self._lock: sqlite3.Connection | None = None
        if database_url is None:
            self._url = URL.create("sqlite", database=str(state_dir / "jobs.sqlite"))
            self.jobs = self.engine()
            self.own = _sqlite(URL.create("sqlite", database=str(state_dir / "store.sqlite")))
        else:
            self._url = _postgres_url(database_url)
            self.jobs = self.own = self.engine()

    def engine(self) -> sa.Engine:
        """Return a new engine for the jobs, with connections of its own."""
        return _postgres(self._url) if self.is_postgres else _sqlite(self._url)

    def open(self, *, share: bool = False) -> None:
        """Take the folder, or see whether the server answers; blocks.

        Args:
            share: Go without the folder while it is another process's.

        Raises:
            StorageFailed: The folder is another process's, or the database refuses.
        """
        with self.failures():
            if not self.is_postgres and not self.take() and not share:
                raise StorageFailed(
                    f"Another process uses the folder of jobs {self._state_dir}.",
                    hint="Stop it first, or give this one a folder of its own: --state-dir FOLDER, "
                    "or server.state_dir. To share the work between processes, give them a "
                    "PostgreSQL database (server.database_url).",
                )
            for engine in {self.jobs, self.own}:
                with engine.connect() as connection:
                    connection.execute(sa.text("SELECT 1"))

    @property
    def does_jobs(self) -> bool:
        """Whether this process may do jobs: all may that share a server, and one with a folder."""
        return self.is_postgres or self._lock is not None

    def take(self) -> bool:
        """Take the folder, and tell whether it is ours now.

        The system gives it back should we be killed.

        Raises:
            StorageFailed: The disk refuses.
        """
        with self.failures():
            if self._lock is None:
                self._lock = _locked(self._state_dir / "lock")
        return self._lock is not None

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Make tables while no other process makes those of the same folder."""
        if self.is_postgres:
            yield
            return
        with self.failures():
            lock = _locked(self._state_dir / "opening", patience=_BUSY / 1000)
            if lock is None:
                raise StorageFailed(
                    f"Another process has been opening the folder of jobs {self._state_dir} for "
                    f"{_BUSY / 1000:g} s.",
                    hint="See what it waits for.",
                )
        try:
            yield
        finally:
            lock.close()

    @contextmanager
    def one_at_a_time(self) -> Iterator[sa.Connection]:
        """Run a transaction on the jobs while no other process runs one of these."""
        with self.jobs.begin() as connection:
            if self.is_postgres:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SUBMISSION_LOCK)))
            else:
                connection.execute(sa.text("BEGIN IMMEDIATE"))
            yield connection

    def lone_connection(self) -> sa.Connection:
        """Return a new connection to PostgreSQL that nobody shares; what is locked on it stays."""
        alone = _postgres(self._url, poolclass=sa.NullPool)
        return alone.execution_options(isolation_level="AUTOCOMMIT").connect()

    def close(self) -> None:
        """Close all connections and give the folder back."""
        for engine in {self.jobs, self.own}:
            engine.dispose()
        self.give_back()

    def give_back(self) -> None:
        """Leave the folder to other processes."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what a database says into an error of ours, without the password or any data."""
        try:
            yield
        except _REFUSALS as error:
            raise StorageFailed(
                f"The database of jobs ({self._url.render_as_string()}) fails: "
                f"{self._reason(error)}.",
                hint="See whether it runs, takes our connections and has room left."
                if self.is_postgres
                else "See whether the disk has room, and whether this user may write there.",
            ) from None

    def _reason(self, error: Exception) -> str:
        said = getattr(error, "orig", None) or error
        lines = str(said).strip().splitlines() or [type(said).__name__]
        password = self._url.password
        reason = lines[0].replace(str(password), "***") if password else lines[0]
        return reason[:300].rstrip(". ")


def _locked(file: Path, *, patience: float = 0) -> sqlite3.Connection | None:
    """Lock a file for this process until the connection is closed; None: another one has it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = sqlite3.connect(file, timeout=patience, isolation_level=None, check_same_thread=False)
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
        connection.isolation_level = "IMMEDIATE"  # writers wait for each other at the start
        connection.execute(f"PRAGMA busy_timeout={_BUSY}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        if sqlite3.sqlite_version_info < (3, 42):
            connection.create_function("unixepoch", 1, _unixepoch)

    return engine


def _unixepoch(what: str) -> float | None:
    """Stand in for a function as DBOS uses it with Python 3.12, whatever SQLite there is."""
    return round(time.time(), 3) if what == "subsec" else None


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
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        url = None
    if url is None or url.drivername not in _POSTGRES or not url.database or _leaks(url):
        raise ConfigurationError(
            "The address of the database of jobs is none of PostgreSQL's.",
            key="tts.qwen.server.database_url",
            allowed="postgresql://user:password@host:5432/database",
            hint="Use postgresql://user:password@host:5432/database, or none for a file.",
        )
    return url.set(drivername="postgresql+psycopg")


def _leaks(url: URL) -> bool:
    """Tell whether a part of the password stands where it would be shown.

    That is how it is with an @ in it that is not written as %40, and where it is a parameter.
    """
    return "@" in (url.host or "") or "@" in (url.database or "") or "password" in url.query
