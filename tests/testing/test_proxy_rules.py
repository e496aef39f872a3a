"""Every way in which a scripted proxy breaks a connection, at which request and at which byte."""

from __future__ import annotations

import time

import pytest

from storycore_tts.testing.proxy import (
    Corrupt,
    Cut,
    Refuse,
    Reset,
    Slow,
    Stall,
    StallConnect,
    Struck,
)

GET = b"GET /queue HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /prompt HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789"
CHUNKED = (
    b"POST /prompt HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4;name=value\r\nGET \r\n1B\r\n/view HTTP/1.1\r\nHost: x\r\n\r\n\r\n0\r\nTrailer: x\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"


def flipped(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


def exchange(client, server, request=GET, answer=OK):
    """A request and its answer, both as they shall be."""
    client.send(request)
    assert server.read(len(request)) == request
    server.send(answer)
    assert client.read(len(answer)) == answer


# Cut and Reset --------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [Cut, Reset])
@pytest.mark.parametrize(
    ("direction", "after_bytes"),
    [("request", n) for n in (0, 7, len(POST))] + [("response", n) for n in (0, 20, len(OK))],
)
def test_a_message_ends_with_so_many_bytes_gone_through(wire, rule, direction, after_bytes):
    wire.proxy.add(rule(request=b"POST /prompt", direction=direction, after_bytes=after_bytes))
    client, server = wire.connect()
    client.send(POST)
    sender, receiver, sent = client, server, POST
    if direction == "response":
        assert server.read(len(POST)) == POST
        server.send(OK)
        sender, receiver, sent = server, client, OK
    assert receiver.read(after_bytes) == sent[:after_bytes]
    for end in (receiver, sender):
        if rule is Reset:
            assert end.is_reset()
        else:
            assert end.read_all() == b""


# Stall ----------------------------------------------------------------------------------------


def test_what_is_stalled_goes_on_when_it_is_released_and_the_other_way_is_free(wire):
    stalls = [Stall(after_bytes=10), Stall(direction="response", after_bytes=5)]
    wire.proxy.add(*stalls)
    client, server = wire.connect()
    client.send(POST)
    assert server.read(10) == POST[:10]
    assert server.hears_nothing()
    server.send(OK)
    assert client.read(5) == OK[:5]
    assert client.hears_nothing()
    wire.proxy.release()
    assert server.read(len(POST) - 10) == POST[10:]
    assert client.read(len(OK) - 5) == OK[5:]
    assert wire.proxy.log.struck == stalls
    exchange(client, server)


# Slow -----------------------------------------------------------------------------------------


def test_a_slow_response_takes_its_time_but_loses_nothing(wire):
    wire.proxy.add(Slow(direction="response", after_bytes=len(OK), bytes_per_second=1_000))
    client, server = wire.connect()
    client.send(GET)
    server.read(len(GET))
    server.send(OK + b"x" * 100)
    assert client.read(len(OK)) == OK
    begun = time.monotonic()
    assert client.read(100) == b"x" * 100
    assert time.monotonic() - begun > 0.05
    exchange(client, server)  # at full speed again


# Corrupt --------------------------------------------------------------------------------------


def test_bytes_are_corrupted_and_what_follows_is_whole(wire):
    wire.proxy.add(
        Corrupt(direction="response", after_bytes=len(OK) - 4),
        Corrupt(request=b"POST", after_bytes=4, length=len(POST) - 8),
    )
    client, server = wire.connect()
    client.send(GET)
    server.read(len(GET))
    server.send(OK)
    assert client.read(len(OK)) == OK[:-4] + flipped(b"good")
    exchange(client, server)
    client.send(POST)
    assert server.read(len(POST)) == POST[:4] + flipped(POST[4:-4]) + POST[-4:]
    exchange(client, server)
    assert wire.proxy.log.requests[2:] == [b"POST /prompt HTTP/1.1", b"GET /queue HTTP/1.1"]


# Connections ----------------------------------------------------------------------------------


def test_a_refused_connection_is_reset_at_once_and_the_server_never_hears_of_it(wire):
    wire.proxy.add(Refuse(after=1))
    first = wire.connect()
    assert wire.dial().is_reset()
    exchange(*first)
    exchange(*wire.connect())
    assert wire.proxy.connections == 3


def test_a_connection_that_is_stalled_from_the_start_reaches_the_server_when_released(wire):
    wire.proxy.add(StallConnect())
    client = wire.dial()
    client.send(GET)
    assert wire.proxy.log.wait_for(Struck)
    assert client.hears_nothing()
    other = wire.connect()
    exchange(*other)
    wire.proxy.release()
    assert wire.answer().read(len(GET)) == GET


# Which request --------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [GET, POST, CHUNKED])
def test_a_response_is_that_of_the_last_request(wire, first):
    wire.proxy.add(Cut(request=b"GET /view", direction="response", after_bytes=3))
    client, server = wire.connect()
    exchange(client, server, first)
    view = b"GET /view?filename=x HTTP/1.1\r\n\r\n"
    client.send(view)
    assert server.read(len(view)) == view
    server.send(OK)
    assert client.read_all() == OK[:3]


def test_requests_sent_in_one_go_are_told_apart(wire):
    client, server = wire.connect()
    together = GET + CHUNKED + POST + GET
    client.send(together)
    assert server.read(len(together)) == together
    assert wire.proxy.log.wait_for(lambda log: len(log.requests) == 4)
    lines = [request.partition(b"\r\n")[0] for request in (GET, CHUNKED, POST, GET)]
    assert wire.proxy.log.requests == lines


def test_times_and_after_say_how_often(wire):
    wire.proxy.add(Corrupt(request=b"GET", after_bytes=len(GET) - 1, times=2, after=1))
    client, server = wire.connect()
    wrong = GET[:-1] + flipped(b"\n")
    for expected in (GET, wrong, wrong, GET):
        exchange(client, server, POST)
        client.send(GET)
        assert server.read(len(GET)) == expected
    assert wire.proxy.pending == []


def test_a_rule_without_an_end_strikes_until_it_is_removed(wire):
    rule = Reset(times=None)
    wire.proxy.add(rule, Reset(request=b"HEAD"))
    for _ in range(3):
        client, _ = wire.connect()
        client.send(GET)
        assert client.is_reset()
    wire.proxy.remove(rule)
    exchange(*wire.connect())
    assert wire.proxy.pending == [Reset(request=b"HEAD")]
    assert wire.proxy.log.struck == [rule] * 3


def test_a_rule_strikes_once_although_two_connections_wait_for_it(wire):
    wire.proxy.add(Reset(after_bytes=len(POST) - 1))
    first, second = wire.connect(), wire.connect()
    for client, server in (first, second):
        client.send(POST[:-5])
        server.read(len(POST) - 5)
    first[0].send(POST[-5:])
    assert first[0].is_reset()
    second[0].send(POST[-5:])
    assert second[1].read(5) == POST[-5:]


def test_a_rule_for_any_request_strikes_what_is_no_http_too(wire):
    wire.proxy.add(Reset(request=b"GET"), Cut(after_bytes=3))
    client, server = wire.connect()
    client.send(b"\x16\x03\x01 GET / HTTP/1.1\r\n")
    assert server.read_all() == b"\x16\x03\x01"
    assert wire.proxy.log.requests == []


@pytest.mark.parametrize(
    ("rule", "wrong", "error"),
    [
        (Reset, {"request": "GET"}, TypeError),
        (Cut, {"direction": "sideways"}, ValueError),
        (Stall, {"after_bytes": -1}, ValueError),
        (Slow, {"bytes_per_second": 0}, ValueError),
    ],
)
def test_a_rule_that_could_never_work_is_refused(rule, wrong, error):
    with pytest.raises(error):
        rule(**wrong)
