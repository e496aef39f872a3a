"""A PostgreSQL server for the tests: one of their own, or the one that a variable names."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

URL_VARIABLE = "STORYCORE_TTS_TEST_POSTGRES_URL"
_SETTINGS = {
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    # Nothing of it must outlive a crash of the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


class Databases:
    """A server on which databases can be made.

    Args:
        url: Of a database on it, with a user who may make others.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, statement: str, *arguments: object) -> None:
        """Do what an administrator does."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), arguments)

    @contextlib.contextmanager
    def fresh(self, template: str = "template0") -> Iterator[str]:
        """Make a database, yield its URL, and remove it."""
        name = f"test_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        base, _, query = self.url.partition("?")
        try:
            yield f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[Databases]:
    """The server of this session."""
    if url := os.environ.get(URL_VARIABLE):
        yield Databases(url)
        return
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    found = shutil.which("initdb")
    if not programs and found is None:
        missing = f"needs PostgreSQL: apt-get install postgresql, or set {URL_VARIABLE}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with _cluster(programs[-1] if programs else Path(str(found)).parent) as url:
        yield Databases(url)


@pytest.fixture
def postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """The URL of an empty database, that of a user with a password."""
    with postgres_databases.fresh() as url:
        yield url


@contextlib.contextmanager
def _cluster(programs: Path) -> Iterator[str]:
    """Run a server in a folder of its own. PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="storycore-tts-postgres-"))
    password = secrets.token_hex(8)
    (folder / "password").write_text(password)
    become: list[str] = []
    if os.geteuid() == 0:
        user = _somebody()
        for path in (folder, folder / "password"):
            os.chown(path, user.pw_uid, user.pw_gid)
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def run(program: str, *arguments: str) -> None:
        command = [*become, str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=90)

    try:
        run(
            "initdb", "-U", "tests", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}",
            "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        port = _free_port()
        settings = _SETTINGS | {"port": str(port), "unix_socket_directories": str(folder)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tests:{password}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _somebody() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("neither postgres nor nobody is a user here")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
