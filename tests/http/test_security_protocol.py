"""Bytes that are nearly HTTP: never a 5xx, never a hang, never a second request smuggled in."""

import pytest

from .attacks import API, on_the_wire
from .serving import config, serving

POST = f"POST {API}/generate HTTP/1.1\r\nHost: localhost\r\n".encode()
JSON = b"Content-Type: application/json\r\n"
SMUGGLED = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def url(folder):
    with serving(config(folder, server={"requests_per_minute": None})) as url:
        yield url


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n",
        b"Content-Length: " + b"9" * 19 + b"\r\n",
        b"Content-Length:\r\n",
    ],
)
def test_a_body_with_two_ends_or_none_is_refused_and_nothing_behind_it_is_heard(url, head):
    answer = on_the_wire(url, POST + JSON + head + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 501 "))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b'"ok"' not in answer


@pytest.mark.parametrize("size", [b"zz", b"-1", b"0x1", b"", b"1" * 500])
def test_a_chunk_of_a_strange_size_ends_the_connection(url, size):
    body = size + b"\r\na\r\n0\r\n\r\n" + SMUGGLED
    answer = on_the_wire(url, POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b'"ok"' not in answer


def test_what_is_no_http_is_refused_and_the_connection_closed(url):
    get, host = b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n"
    for request in (
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        get + host + b"X: y\r\n" * 50_000 + b"\r\n",
        get + host + b"X\0: a\0b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n" + host + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 1000,
    ):
        answer = on_the_wire(url, request)
        refused = answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 431 "))
        assert refused or not answer


@pytest.mark.parametrize(
    "path",
    [
        "/%00", "/%ff%fe", "/%2e%2e/%2e%2e/etc/passwd", "//", "/" + "%41" * 10_000,
        "/?" + "a=b&" * 10_000, "/page/%2e%2e%2fapp.py", "/page/app.js%00.html",
        f"{API}/jobs/%00", f"{API}/jobs/..%2f..%2fjobs", f"{API}/jobs?limit=1e400",
        f"{API}/jobs?limit=" + "9" * 5000, f"{API}/jobs?offset=NaN", f"{API}/jobs?state=%00",
        f"{API}/speakers?backend=%00%ff", "/v1/models/%00%ff/../x", "/v1/audio/voices/%00",
    ],
)  # fmt: skip
def test_a_strange_address_is_not_found_or_not_understood(url, path):
    for method in (b"GET", b"DELETE", b"PATCH"):
        head = b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = on_the_wire(url, head % (method, path.encode()))
        status = int(answer.split()[1])
        assert status in (200, 400, 404, 405, 422), answer[:100]
        assert status != 200 or path.startswith(("//", "/?", "/v1/audio/voices/"))
        assert b"import annotations" not in answer
        assert b"root:" not in answer


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a" * 60_000, b"%00"])
def test_strange_values_of_headers_harm_nothing(url, value):
    for name in (b"Authorization", b"Idempotency-Key", b"Prefer", b"Content-Type",
                 b"Sec-Fetch-Site", b"Expect", b"Content-Encoding"):  # fmt: skip
        headers = JSON if name != b"Content-Type" else b""
        head = POST + headers + name + b": " + value + b"\r\nConnection: close\r\n"
        answer = on_the_wire(url, head + b"Content-Length: 13\r\n\r\n" + b'{"text": "a"}')
        assert int(answer.split()[1]) in (200, 400, 403, 415, 422), (name, answer[:100])
