"""What people send as a recording, or as a body at all, and how much of it."""

import asyncio
import base64
import io
import json
import pickle
import socket
import time
import tracemalloc

import httpx
import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from storycore_tts.entrypoints.http.security.connections import Connection
from storycore_tts.entrypoints.http.security.guard import Guard
from storycore_tts.settings import ServerConfig

from .attacks import API, END, LINE, on_the_wire, part, sound
from .serving import config, serving

MOST = 1.0  # MiB of an upload
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    server = {
        "requests_per_minute": None,
        "max_upload_megabytes": MOST,
        "max_upload_seconds": 20.0,
    }
    with (
        serving(config(tmp_path_factory.mktemp("service"), server=server)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def _referred(service, data, name):
    return service.post(f"{API}/references", files={"reference": (name, data, "audio/wav")})


def _cloned(service, data, name):
    form = {"text": LINE, "x_vector_only": "true"}
    return service.post(f"{API}/clone", data=form, files={"reference": (name, data, "audio/wav")})


def _stored(service, data, name):
    form = {"name": "Mia", "consent": "Mia, today"}
    return service.post(
        "/v1/audio/voices", data=form, files={"audio_sample": (name, data, "audio/wav")}
    )


def _spoken(service, data, name):
    url = f"data:audio/wav;name={name};base64,{base64.b64encode(data).decode()}"
    body = {"input": LINE, "ref_audio": url, "x_vector_only_mode": True}
    return service.post("/v1/audio/speech", json=body)


WAYS = [_referred, _cloned, _stored, _spoken]


class _Malice:
    def __reduce__(self):
        return (print, ("unpickled",))


def _bomb():
    """Ten minutes of silence: 5 MB unpacked to 30 kB and less."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(600 * 8000, np.int16), 8000, format="FLAC")
    assert len(buffer.getvalue()) < 50_000
    return buffer.getvalue()


def _boastful():
    """A second of sound that claims to be a day."""
    wav = bytearray(sound(1.0))
    place = wav.index(b"data") + 4
    wav[place : place + 4] = (24_000 * 2 * 86_400 & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(wav)


REFUSED = {
    "page": b"<!DOCTYPE html><script>alert(1)</script>" * 100,
    "pickle": pickle.dumps(_Malice()),
    "zip": b"PK\x03\x04" + bytes(1000),
    "elf": b"\x7fELF" + bytes(1000),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "playlist": b"#EXTM3U\nfile:///etc/passwd\n",
    "nothing": b"",
    "only a head": sound(1.0)[:12],
    "bomb": _bomb(),
    "too long": sound(21.0, "FLAC", rate=8000),
    "silent": sound(3.0, loudness=0.0),
    "au": sound(3.0, "AU"),  # libsndfile reads it, and nobody here needs it
    "caf": sound(3.0, "CAF"),
    "adpcm": sound(3.0, subtype="MS_ADPCM"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_recording_is_refused_everywhere(service, way, what, capfd):
    answer = way(service, REFUSED[what], "voice.wav")
    assert answer.status_code in (415, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"].split(":")[-1] in (
        "unsupported-recording",
        "invalid-reference-audio",
        "invalid-request",
    )
    assert "alert" not in answer.text
    assert "unpickled" not in capfd.readouterr().out


@pytest.mark.parametrize("way", WAYS)
def test_what_is_too_large_is_refused_everywhere(service, way):
    large = sound(18.0, rate=48_000)  # 1.7 MB, less than a form with all around it may have
    answer = way(service, large[: int(1.5 * 2**20)], "voice.wav")
    assert answer.status_code == 413
    assert way(service, large + bytes(2**22), "voice.wav").status_code == 413


@pytest.mark.parametrize("name", ["a.wav", "a.exe", "", "../../a", "a\0b", "C:\\a", "x" * 2000])
def test_a_recording_is_known_by_its_content_alone(service, name):
    answer = _referred(service, sound(4.0, "MP3"), name)
    # An empty name is none: that part of the form is no file.
    assert answer.status_code == (201 if name else 422)


def test_a_length_that_is_a_lie_is_not_believed(service):
    answer = _referred(service, _boastful(), "voice.wav")
    assert answer.status_code == 201
    assert answer.json()["duration"] == 1.0


def test_who_goes_on_sending_what_is_refused_is_cut_off(service, monkeypatch):
    monkeypatch.setattr(Connection, "farewell", 0.2)
    for path, kind in (
        (f"{API}/generate", "application/json"),
        (f"{API}/references", FORM["Content-Type"]),
        ("/v1/audio/voices", FORM["Content-Type"]),
        ("/v1/audio/speech", "application/json"),
        (f"{API}/clone", "application/x-www-form-urlencoded"),
    ):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        chunk = b"%x\r\n%s\r\n" % (2**16, bytes(2**16))
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", service.base_url.port)) as client:
            client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            with pytest.raises(ConnectionError):  # noqa: PT012
                while time.monotonic() - start < 30:
                    client.sendall(chunk)


def test_what_is_announced_too_large_is_refused_at_once(service):
    for path, kind in (
        (f"{API}/generate", "application/json"),
        (f"{API}/clone", FORM["Content-Type"]),
    ):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        rest = "Connection: close\r\nContent-Length: 99999999\r\n\r\n"
        answer = on_the_wire(str(service.base_url), f"{head}{rest}".encode())
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_comes_too_slowly_is_given_up():
    async def read(request):
        return Response(await request.body())

    guarded = Guard(
        Starlette(routes=[Route("/", read, methods=["POST"])]),
        ServerConfig(),
        slowest=0.2,
        longest=1.0,
    )

    async def stalls():
        yield b"a"
        await asyncio.sleep(60)

    async def drips():
        for _ in range(1000):
            yield b"a"
            await asyncio.sleep(0.05)

    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for body in (stalls, drips):
            start = time.monotonic()
            answer = await client.post("/", content=body())
            assert answer.status_code == 408
            assert time.monotonic() - start < 30


FORMS = {
    "10,000 fields": b"".join(part(b"f%d" % n) for n in range(10_000)) + END,
    "900 fields": b"".join(part(b"f%d" % n) for n in range(900)) + END,
    "900 files": b"".join(part(b"f%d" % n, filename=b"a") for n in range(900)) + END,
    "one field 900 times": part(b"reference", sound(1.0), b"a") + part(b"reference") * 900 + END,
    "a huge field": part(b"text", b"x" * 1_800_000) + END,
    "a huge name": part(b"t" * 1_000_000) + END,
    "a huge header": part(b"text", headers=b"X: " + b"y" * 1_000_000 + b"\r\n") + END,
    "many headers": part(b"text", headers=b"X: y\r\n" * 150_000) + END,
    "nested": part(
        b"reference",
        b'--y\r\nContent-Disposition: file; filename="a.wav"\r\n\r\nRIFF\r\n--y--',
        headers=b"Content-Type: multipart/mixed; boundary=y\r\n",
    )
    + END,
    "no name": b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n" + END,
    "no end": part(b"reference", sound(1.0), b"a"),
    "cut": part(b"reference", sound(1.0), b"a")[:-9],
    "never a boundary": b"\r\n" * 900_000,
    "only dashes": b"--x\r\n" + b"-" * 1_800_000,
    "nearly a boundary": part(b"reference", b"\r\n--" * 450_000, b"a") + END,
    "more after the end": part(b"a") + END + b"\r\n--x" * 400_000,
    "no UTF-8": part(b"\xff\xfe", b"\xff\xfe\xff") + part(b"text", b"\xed\xa0\x80") + END,
    "a NUL": part(b"text\0", b"\0") + END,
}


@pytest.mark.parametrize("what", FORMS)
@pytest.mark.parametrize("path", [f"{API}/references", f"{API}/clone", "/v1/audio/voices"])
def test_a_form_made_to_hurt_is_refused_quickly(service, path, what):
    start = time.monotonic()
    answer = service.post(path, content=FORMS[what], headers=FORM)
    assert answer.status_code in (400, 413, 415, 422)
    assert time.monotonic() - start < 30
    assert len(answer.content) < 20_000


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", 'multipart/form-data; boundary=""', "multipart/mixed"]
)
def test_a_form_without_a_boundary_is_refused(service, kind):
    answer = service.post(f"{API}/references", content=b"--x", headers={"Content-Type": kind})
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "unicode_escape", "zlib", "undefined", "utf-7", "x" * 5000]
)
def test_a_form_chooses_no_decoder(service, charset):
    """punycode takes 100 s for a megabyte, and unicode_escape makes half surrogate pairs."""
    body = part(b"text", b"-" + b"b" * 900_000) + END
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    start = time.monotonic()
    answer = service.post(f"{API}/references", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert time.monotonic() - start < 30


def test_a_form_in_utf8_may_say_so(service):
    kind = {"Content-Type": "multipart/form-data; boundary=x; charset=UTF-8"}
    body = part(b"reference", sound(), b"a.wav") + END
    assert service.post(f"{API}/references", content=body, headers=kind).status_code == 201


JSONS = {
    "not JSON": b"{",
    "no UTF-8": b'{"text": "\xff\xfe"}',
    "deep lists": b"[" * 1_000_000,
    "deep objects": b'{"a":' * 200_000,
    "deep and complete": b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long number": b'{"text": "a", "seed": ' + b"9" * 5000 + b"}",
    "a number of 4000 digits": b'{"text": "a", "seed": ' + b"9" * 4000 + b"}",
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(45_000)) + b"}",
    "more keys": b"{" + b",".join(b'"k%d":1' % n for n in range(90_000)) + b"}",
    "a long key": b'{"' + b"k" * 900_000 + b'": 1}',
    "an escaped key": b'{"\\ud800": 1}',
    "a list": b'["text"]',
    "null": b"null",
    "a word": b'"text"',
    "nothing": b"",
    **{
        f"{name} is {value}": json.dumps({"text": "a", name: 1})
        .replace(": 1", f": {value}")
        .encode()
        for name in ("speed", "pitch", "temperature", "top_p", "priority", "time_limit", "seed")
        for value in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "[]",
            '"\\ud800"',
        )
    },
    **{
        f"half a surrogate pair as {name}": json.dumps({"text": "a", name: "\ud800"}).encode()
        for name in ("text", "speaker", "language", "instruct", "backend", "checkpoint", "format")
    },
    "a NUL as speaker": b'{"text": "a", "speaker": "a\\u0000b"}',
    "nothing but NULs": b'{"text": "\\u0000\\u0000"}',
}


@pytest.mark.parametrize("what", JSONS)
def test_json_made_to_hurt_is_refused_quickly(service, what):
    start = time.monotonic()
    for path, body in (
        (f"{API}/generate", JSONS[what]),
        (f"{API}/train", JSONS[what].replace(b'"text"', b'"test_text"')),
        ("/v1/audio/speech", JSONS[what].replace(b'"text"', b'"input"')),
    ):
        answer = service.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 413, 422), (path, answer.text)
        assert len(answer.content) < 20_000
    assert time.monotonic() - start < 30


def test_small_lists_do_not_become_a_gigabyte(tmp_path_factory, service):
    """A recording may be sent as JSON of megabytes; [[],[],…] takes thirty times its length."""
    body = b'{"input": [' + b"[]," * (1024 * 300) + b"[]]}"
    tracemalloc.start()
    try:
        answer = service.post(
            "/v1/audio/speech", content=body, headers={"Content-Type": "application/json"}
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 10 * len(body)
