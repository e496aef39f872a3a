"""Pages of other origins, names that lead here by a trick, and what each answer carries."""

import socket

import httpx
import pytest

from storycore_tts import QwenTTSConfig
from storycore_tts.entrypoints.http import create_app

from .attacks import API, LINE, logged, on_the_wire
from .serving import GENERATE, config, serving

EDITOR = "https://editor.example"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture(scope="module")
def url(folder):
    named = {"allowed_origins": [EDITOR], "allowed_hosts": ["Tts.Example"]}
    with serving(config(folder, server={"requests_per_minute": None, **named})) as url:
        yield url


def _has_all_headers(answer):
    for name, value in HEADERS.items():
        assert answer.headers.get(name) == value, name
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Cache-Control" in answer.headers
    assert "Server" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("GET", "/health", {}, 200),
        ("POST", GENERATE, {"json": {"text": LINE}}, 200),
        ("GET", "/nowhere", {}, 404),
        ("PUT", "/health", {}, 405),
        ("POST", GENERATE, {"content": b"x" * 2**21}, 413),
        ("POST", GENERATE, {"json": {}}, 422),
        ("POST", f"{API}/references", {"files": {"reference": b"<html>"}}, 415),
        ("GET", "/health", {"headers": {"Host": "evil.example"}}, 400),
        ("GET", "/health", {"headers": {"Origin": "https://evil.example"}}, 403),
        ("OPTIONS", "/health", {"headers": {"Origin": EDITOR,
            "Access-Control-Request-Method": "GET"}}, 200),
    ],
)  # fmt: skip
def test_every_answer_has_the_headers(http, method, path, how, status):
    answer = http.request(method, path, **how)
    assert answer.status_code == status
    _has_all_headers(answer)
    assert status == 200 or answer.headers["Content-Type"] == "application/problem+json"


def test_what_is_no_http_is_answered_with_the_headers(url):
    answer = on_the_wire(url, b"\x16\x03\x01\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    for name, value in HEADERS.items():
        assert f"{name}: {value}\r\n".encode() in answer
    assert b"application/problem+json" in answer


async def test_a_bug_is_told_to_nobody_but_its_kind_to_the_log():
    app = create_app(QwenTTSConfig(backend="draft", server={"allowed_origins": [EDITOR]}))

    @app.get("/bug")
    async def bug():
        raise RuntimeError(f"{LINE} in /srv/secret")

    transport = httpx.ASGITransport(app)  # which raises what would reach the server
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with logged() as lines:
            answer = await client.get("/bug", headers={"Origin": EDITOR})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Access-Control-Allow-Origin"] == EDITOR
    _has_all_headers(answer)
    assert answer.json()["status"] == 500
    for hidden in ("RuntimeError", "secret", LINE, "test_security", "Traceback"):
        assert hidden not in answer.text
    said = "\n".join(lines)
    assert "RuntimeError" in said
    assert "in bug" in said
    assert LINE not in said.replace("{LINE}", "")
    assert "Wombats" not in said


HOSTS = [
    "evil.example", "localhost.evil.example", "evil.example@localhost", "localhost@evil.example",
    "localhost.", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]", "::1", "[::1", "]",
    "localhost:x", "localhost:80:80", "localhost:999999", "localhost/", "localhost?x",
    "localhost, localhost", "locaLhost\u00ad", "", ":8600",
]  # fmt: skip


def test_a_name_that_is_not_ours_is_refused_and_those_of_ours_are_taken(http, url):
    """A page at evil.example can let that name lead to 127.0.0.1, and is then of our origin."""
    request = b"GET %s/status HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    for host in HOSTS:
        answer = on_the_wire(url, request % (API.encode(), host.encode()))
        assert answer.startswith(b"HTTP/1.1 400 "), host
        assert b"backends" not in answer
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8600", "[::1]:1", "tts.example:443"):
        assert http.get(f"{API}/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\n",
        b"GET /health HTTP/1.0\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
        b"GET http://localhost/health HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n",
    ],
)
def test_one_name_is_said_and_no_more(url, head):
    answer = on_the_wire(url, head + b"Connection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
    assert b"ok" not in answer


FOREIGN = [
    "https://evil.example",
    "null",
    "",
    "http://localhost.evil.example",
    "http://[",
    "file://",
    f"{EDITOR}.evil.example",
    "http://editor.example",  # not by https
    f"{EDITOR}:8443",
    "http://localhost:1",  # another service on this machine
    "http://127.0.0.1",
    "\xff",
]


def test_a_foreign_page_neither_does_nor_reads_anything(http):
    asked = [("POST", GENERATE, origin) for origin in FOREIGN]
    asked += [(m, p, FOREIGN[0]) for m in ("GET", "DELETE") for p in ("/health", f"{API}/jobs")]
    for method, path, origin in asked:
        answer = http.request(method, path, headers={"Origin": origin.encode("latin-1")})
        assert answer.status_code == 403, (method, path, origin)
        assert "Access-Control-Allow-Origin" not in answer.headers
        _has_all_headers(answer)


def test_of_two_origins_both_must_be_ours(http):
    both = [("Origin", EDITOR), ("Origin", "https://evil.example")]
    for headers in (both, both[::-1]):
        answer = http.post(GENERATE, json={"text": LINE}, headers=headers)
        assert answer.status_code == 403


def test_browsers_that_only_say_where_from_are_believed(http):
    for site in ("cross-site", "same-site", "anything"):
        for method, path in (("POST", GENERATE), ("DELETE", f"{API}/jobs/x")):
            answer = http.request(method, path, headers={"Sec-Fetch-Site": site})
            assert answer.status_code == 403


def test_a_form_of_a_foreign_page_needs_no_preflight_and_does_nothing(http):
    """Of the three kinds that a form can send, none is JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": kind}
        assert http.post(GENERATE, content=b'{"text": "a"}', headers=headers).status_code == 422


def test_reading_does_nothing(http):
    """Every operation with an effect is unsafe, so that the lines above hold for it."""
    paths = http.get("/openapi.json").json()["paths"]
    readers = {path for path, operations in paths.items() if "get" in operations}
    jobs = {
        f"{API}/jobs{rest}" for rest in ("", "/{job_id}", "/{job_id}/events", "/{job_id}/audio")
    }
    others = {
        f"{API}/voices/{{name}}/consent",
        f"{API}/speakers",
        f"{API}/status",
        "/health",
        "/ready",
        "/metrics",
    }
    lists = {f"/v1/{rest}" for rest in ("models", "audio/models", "audio/voices")}
    one = {"/v1/models/{model}", "/v1/audio/voices/{model}"}
    assert readers == jobs | others | lists | one


async def test_only_our_own_page_is_let_in_unless_another_is_named():
    transport = httpx.ASGITransport(create_app(QwenTTSConfig(backend="draft", fallback="none")))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8600") as closed:
        answer = await closed.get("/health", headers={"Origin": "http://127.0.0.1:8600"})
        assert answer.status_code == 200
        asked = {"Origin": EDITOR, "Access-Control-Request-Method": "POST"}
        for method in ("GET", "OPTIONS"):
            answer = await closed.request(method, "/health", headers=asked)
            assert answer.status_code == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


def _preflight(http, **wanted):
    headers = {f"Access-Control-Request-{name}": value for name, value in wanted.items()}
    return http.options(GENERATE, headers={"Origin": EDITOR, **headers})


def test_a_page_that_is_named_is_let_in_with_the_methods_and_headers_that_are_needed(http):
    needed = "authorization,content-type,idempotency-key,prefer"
    allowed = _preflight(http, Method="POST", Headers=needed)
    assert allowed.status_code == 200
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    assert "Origin" in allowed.headers["Vary"]
    headers = {"Origin": EDITOR, "Sec-Fetch-Site": "cross-site"}
    answer = http.post(GENERATE, json={"text": LINE}, headers=headers)
    assert answer.status_code == 200
    for one in (allowed, answer):
        assert one.headers["Access-Control-Allow-Origin"] == EDITOR
    assert _preflight(http, Method="TRACE").status_code == 400


def test_what_listens_is_this_machine_only(http):
    port = http.base_url.port
    others = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=2)
