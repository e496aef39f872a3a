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
    Refuse,
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


def test_going_down_does_not_use_up_a_rule(wire):
    wire.proxy.add(Refuse())
    wire.proxy.down()
    assert wire.dial().is_reset()
    assert wire.proxy.pending == [Refuse()]


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


def test_a_half_open_connection_does_not_tell_that_the_other_side_is_gone(wire):
    client, server = wire.connect()
    works(client, server)
    wire.proxy.half_open()
    server.raw.close()
    assert client.hears_nothing()
    wire.proxy.release()
    assert client.read_all() == b""


def test_a_half_open_connection_does_not_tell_of_a_reset(wire):
    client, server = wire.connect()
    works(client, server)
    wire.proxy.half_open()
    server.reset()
    assert client.hears_nothing()
    wire.proxy.release()
    assert client.is_reset()


def test_new_connections_go_where_it_is_pointed(wire):
    old = wire.connect()
    works(*old)
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        wire.proxy.retarget(f"http://127.0.0.1:{elsewhere.getsockname()[1]}")
        client = wire.dial()
        client.send(GET)
        raw, _ = elsewhere.accept()
        with raw:
            assert raw.recv(len(GET)) == GET
    works(*old)


def test_an_upstream_that_refuses_resets_the_client(wire):
    wire.listener.close()
    assert wire.dial().is_reset()


def test_an_upstream_by_name_is_found_at_whichever_address_listens(wire):
    wire.proxy.retarget(wire.upstream.replace("127.0.0.1", "localhost"))
    works(*wire.connect())


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


def test_the_url_is_the_upstream_s_with_another_port():
    with FaultyProxy("http://localhost:8188/comfy/") as proxy:
        assert proxy.url == f"http://127.0.0.1:{proxy.port}/comfy"


@pytest.mark.parametrize("url", ["127.0.0.1", "tcp://127.0.0.1", "http://:80", "http://host:99999"])
def test_an_upstream_that_cannot_be_one_is_refused(url):
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
    assert isinstance(accepted, Accepted)
    assert isinstance(seen, RequestSeen)
    assert seen.first_line == b"GET /queue HTTP/1.1"
    assert isinstance(struck, Struck)
    assert struck.rule == rule
    assert isinstance(ended, Ended)
    assert ended.reset
    assert {record.connection for record in wire.proxy.log.records} == {1}
    times = [record.at for record in wire.proxy.log.records]
    assert times == sorted(times)


async def test_a_test_waits_for_what_the_log_will_say(wire):
    log = wire.proxy.log
    assert not log.wait_for(Accepted, timeout=0.01)
    threading.Timer(0.02, wire.dial).start()
    assert await log.until(lambda log: len(log.of(Accepted)) == 1)
    assert log.wait_for(Accepted, timeout=0)


def test_rules_come_and_go_from_many_threads(wire):
    def churn(number: int) -> None:
        for _ in range(200):
            rule = Reset(request=b"NEVER", after=number)
            wire.proxy.add(rule)
            wire.proxy.remove(rule)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        works(*wire.connect())
    for thread in threads:
        thread.join()
    assert wire.proxy.pending == []


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


def test_stopping_while_clients_connect_leaves_nothing():
    before = psutil.Process().num_fds()
    with socket.create_server(("127.0.0.1", 0), backlog=200) as upstream:
        for _ in range(20):
            proxy = FaultyProxy(f"http://127.0.0.1:{upstream.getsockname()[1]}")
            proxy.start()
            clients = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(4)]
            proxy.stop()
            for client in clients:
                client.close()
    gc.collect()
    assert psutil.Process().num_fds() == before


def test_the_fixture_makes_as_many_proxies_as_wanted(wire, faulty_proxy_factory):
    outer = faulty_proxy_factory(wire.proxy.url)
    with socket.create_connection(("127.0.0.1", outer.port)) as client:
        client.sendall(GET)
        assert wire.answer().read(len(GET)) == GET
    assert outer.log.requests == wire.proxy.log.requests
