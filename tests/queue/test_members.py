"""Which processes live and which are dead, while connections break."""

from __future__ import annotations

import psycopg
import pytest

from storycore_tts.adapters.queue.members import Membership, try_lock
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.errors import StorageFailed


class Member(Membership):
    """A process, and whose jobs it has taken over."""

    def __init__(self, storage, name):
        super().__init__(storage, self, name, every=1.0)
        self.name = name
        self.taken = []

    def workers(self):
        return [name for name in ("one", "other") if name != self.name]

    def requeue(self, worker):
        self.taken.append(worker)

    @property
    def pid(self):
        """Of the server's process for its connection."""
        return self._connection.connection.dbapi_connection.info.backend_pid


@pytest.fixture
def processes(shared):
    """Two that have joined, and look when they are told to."""
    storage = Storage(shared["database_url"], shared["state_dir"])
    both = [Member(storage, name) for name in ("one", "other")]
    for each in both:
        each.join()
    yield both
    for each in both:
        each.leave()
    storage.close()


@pytest.fixture
def server(shared):
    with psycopg.connect(shared["database_url"], autocommit=True) as connection:
        yield connection


def cut(server, member):
    """End a member's connection, and wait until the server has freed its lock."""
    server.execute("SELECT pg_terminate_backend(%s, 10000)", [member.pid])


def holds_a_lock(server, member):
    wanted = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s"
    return server.execute(wanted, [member.pid]).fetchone() == (1,)


def test_a_process_that_cannot_have_its_lock_again_keeps_trying(processes, server):
    """The server still has it for a connection that broke on our side, or another one checks us."""
    one, other = processes
    cut(server, one)
    with one._storage.lone_connection() as another:
        assert try_lock(another, "one")
        for _ in range(2):
            with pytest.raises(StorageFailed):
                one.look()
    one.look()
    assert holds_a_lock(server, one)
    for _ in range(2):
        other.look()
    assert other.taken == []


@pytest.mark.parametrize("sees_it", [True, False])
def test_a_process_that_sees_its_connection_break_is_not_taken_for_dead(processes, server, sees_it):
    """It sees it within a second, which is what others give it."""
    one, other = processes
    cut(server, one)
    other.look()
    assert other.taken == []
    if sees_it:
        with pytest.raises(StorageFailed):
            one.look()
    other.look()
    assert other.taken == ([] if sees_it else ["one"])
