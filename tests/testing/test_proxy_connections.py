"""What a proxy does to all connections at once, what it remembers, and what it leaves behind."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading

import psutil
import pytest

from storycore_tts.testing.proxy import (
    Accepted,
    Cut,
    Ended,
    FaultyProxy,
    RequestSeen,
    Reset,
    Slow,
    Stall,
    StallConnect,
    Struck,
)

GET = b"GET /queue HTTP/1.1\r\n\r\n"


def works(client, server):
    client.send(GET)
    assert server.read(len(GET)) == GET
    server.send(b"answer")
    assert client.read(6) == b"answer"


# All connections at once ----------------------------------------------------------------------


def test_while_it_is_down_everything_is_reset(wire):
    client, server = wire.connect()
    works(client, server)
    wire.proxy.down()
    assert client.is_reset()
    assert server.is_reset()
    assert wire.dial().is_reset()
    wire.proxy.up()
    works(*wire.connect())
    assert wire.proxy.connections == 3


def test_a_half_open_connection_is_silent_while_new_ones_work(wire):
    client, server = wire.connect()
    works(client, server)
    wire.proxy.half_open()
    client.send(GET)
    server.send(b"late")
    works(*wire.connect())
    assert client.hears_nothing()
    assert server.hears_nothing()
    wire.proxy.release()
    assert server.read(len(GET)) == GET
    assert client.read(4) == b"late"
    wire.proxy.half_open()
    server.raw.close()
    assert client.hears_nothing()  # nor that the other side is gone
    wire.proxy.release()
    assert client.read_all() == b""


def test_an_upstream_that_refuses_resets_the_client(wire):
    wire.listener.close()
    assert wire.dial().is_reset()


def test_each_side_hears_how_the_other_one_ended(wire):
    client, server = wire.connect()
    client.send(b"half")
    client.finish()
    assert server.read_all() == b"half"
    server.send(b"the other half")
    server.finish()
    assert client.read_all() == b"the other half"
    client, server = wire.connect()
    works(client, server)
    server.reset()
    assert client.is_reset()
    assert wire.proxy.log.wait_for(lambda log: len(log.of(Ended)) == 2)
    assert [record.reset for record in wire.proxy.log.of(Ended)] == [False, True]


# The address ----------------------------------------------------------------------------------


def test_an_upstream_that_cannot_be_one_is_refused():
    for url in ("127.0.0.1", "tcp://127.0.0.1", "http://:80", "http://host:99999"):
        with pytest.raises(ValueError, match=r"host|[Pp]ort"):
            FaultyProxy(url)


def test_a_proxy_that_does_not_run_says_so():
    proxy = FaultyProxy("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="not been started"):
        _ = proxy.url
    with pytest.raises(RuntimeError, match="not running"):
        proxy.down()
    proxy.stop()
    with proxy, pytest.raises(RuntimeError, match="running already"):
        proxy.start()


# The log --------------------------------------------------------------------------------------


def test_the_log_tells_what_happened_in_order(wire):
    rule = Reset(request=b"GET")
    wire.proxy.add(rule)
    client, _ = wire.connect()
    client.send(GET)
    assert client.is_reset()
    assert wire.proxy.log.wait_for(Ended)
    accepted, seen, struck, ended = wire.proxy.log.records
    kinds = [type(record) for record in (accepted, seen, struck, ended)]
    assert kinds == [Accepted, RequestSeen, Struck, Ended]
    assert (seen.first_line, struck.rule, ended.reset) == (b"GET /queue HTTP/1.1", rule, True)
    assert {record.connection for record in wire.proxy.log.records} == {1}
    times = [record.at for record in wire.proxy.log.records]
    assert times == sorted(times)


# What it leaves behind ------------------------------------------------------------------------


def has_ended(client: socket.socket) -> bool:
    with client, contextlib.suppress(ConnectionError):
        while client.recv(100):
            pass
    return True


def test_stopping_resets_what_is_open_and_leaves_nothing():
    process = psutil.Process()
    before = (threading.active_count(), process.num_fds())
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        port = upstream.getsockname()[1]
        for rule in (StallConnect(), Stall(), Slow(bytes_per_second=1), Cut(), Reset(after=1)):
            with FaultyProxy(f"http://127.0.0.1:{port}") as proxy:
                proxy.add(rule)
                clients = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(3)]
                for client in clients:
                    client.sendall(GET)
                assert proxy.log.wait_for(Struck)
            for client in clients:
                assert has_ended(client)
    gc.collect()  # a socket or task that was left would complain now
    assert (threading.active_count(), process.num_fds()) == before
