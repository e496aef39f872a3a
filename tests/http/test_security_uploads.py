"""What people send as a recording, or as a body at all, and how much of it."""

import base64
import io
import json
import pickle
import tracemalloc

import numpy as np
import pytest
import soundfile

from .attacks import API, END, LINE, on_the_wire, part
from .serving import CLONE, GENERATE, TRAIN, config, serving
from .sounds import recording

REFERENCES = f"{API}/references"
MOST = 1.0  # MiB of an upload
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def url(folder):
    limits = {"max_upload_megabytes": MOST, "max_upload_seconds": 20.0}
    with serving(config(folder, server={"requests_per_minute": None, **limits})) as url:
        yield url


def _referred(http, data, name):
    return http.post(REFERENCES, files={"reference": (name, data, "audio/wav")})


def _cloned(http, data, name):
    form = {"text": LINE, "x_vector_only": "true"}
    return http.post(CLONE, data=form, files={"reference": (name, data, "audio/wav")})


def _stored(http, data, name):
    form, files = (
        {"name": "Mia", "consent": "Mia, today"},
        {"audio_sample": (name, data, "audio/wav")},
    )
    return http.post("/v1/audio/voices", data=form, files=files)


def _spoken(http, data, name):
    url = f"data:audio/wav;name={name};base64,{base64.b64encode(data).decode()}"
    body = {"input": LINE, "ref_audio": url, "x_vector_only_mode": True}
    return http.post("/v1/audio/speech", json=body)


WAYS = [_referred, _cloned, _stored, _spoken]


def _bomb():
    """Ten minutes of silence: 5 MB unpacked to 30 kB and less."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(600 * 8000, np.int16), 8000, format="FLAC")
    assert len(buffer.getvalue()) < 50_000
    return buffer.getvalue()


@pytest.mark.parametrize("way", WAYS)
def test_each_way_in_is_guarded_alike(http, way):
    """What else is no recording: tests/unit/audio_intake."""
    assert way(http, pickle.dumps("no recording"), "voice.wav").status_code == 415
    assert way(http, _bomb(), "voice.wav").status_code in (400, 422)
    large = recording(18.0, rate=48_000)  # 1.7 MB, less than a form with all around it may have
    assert way(http, large[: int(1.5 * 2**20)], "voice.wav").status_code == 413
    assert way(http, large + bytes(2**22), "voice.wav").status_code == 413


@pytest.mark.parametrize("name", ["a.exe", "", "../../a", "a\0b", "x" * 2000])
def test_a_recording_is_known_by_its_content_alone(http, name):
    answer = _referred(http, recording(suffix=".mp3"), name)
    # An empty name is none: that part of the form is no file.
    assert answer.status_code == (201 if name else 422)


def test_what_is_announced_too_large_is_refused_at_once(url):
    for path, kind in ((GENERATE, "application/json"), (CLONE, FORM["Content-Type"])):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        rest = "Connection: close\r\nContent-Length: 99999999\r\n\r\n"
        answer = on_the_wire(url, f"{head}{rest}".encode())
        assert answer.startswith(b"HTTP/1.1 413 ")


NESTED = b"Content-Type: multipart/mixed; boundary=y\r\n"
FORMS = {
    "10,000 fields": b"".join(part(b"f%d" % n) for n in range(10_000)) + END,
    "900 files": b"".join(part(b"f%d" % n, filename=b"a") for n in range(900)) + END,
    "one field 900 times": part(b"reference") * 900 + END,
    "a huge field": part(b"text", b"x" * 1_800_000) + END,
    "a huge name": part(b"t" * 1_000_000) + END,
    "a huge header": part(b"text", headers=b"X: " + b"y" * 1_000_000 + b"\r\n") + END,
    "many headers": part(b"text", headers=b"X: y\r\n" * 150_000) + END,
    "nested": part(b"reference", part(b"a"), headers=NESTED) + END,
    "no name": b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n" + END,
    "no end": part(b"reference", recording(1.0), b"a"),
    "cut": part(b"reference", recording(1.0), b"a")[:-9],
    "never a boundary": b"\r\n" * 900_000,
    "only dashes": b"--x\r\n" + b"-" * 1_800_000,
    "nearly a boundary": part(b"reference", b"\r\n--" * 450_000, b"a") + END,
    "more after the end": part(b"a") + END + b"\r\n--x" * 400_000,
    "no UTF-8": part(b"\xff\xfe", b"\xff\xfe\xff") + part(b"text", b"\xed\xa0\x80") + END,
    "a NUL": part(b"text\0", b"\0") + END,
}


def _hurts_nothing(http, path, body, kind="application/json"):
    answer = http.post(path, content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 413, 415, 422), (path, answer.text)
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("what", FORMS)
def test_a_form_made_to_hurt_is_refused(http, what):
    """What takes quadratic time does not end within this test's timeout."""
    _hurts_nothing(http, REFERENCES, FORMS[what], FORM["Content-Type"])


def test_every_form_is_guarded_alike(http):
    for path in (CLONE, "/v1/audio/voices"):
        _hurts_nothing(http, path, FORMS["900 files"], FORM["Content-Type"])
    for kind in ("multipart/form-data", 'multipart/form-data; boundary=""', "multipart/mixed"):
        _hurts_nothing(http, REFERENCES, b"--x", kind)


def test_a_form_chooses_no_decoder(http):
    """punycode takes 100 s for a megabyte, and unicode_escape makes half surrogate pairs."""
    body = part(b"text", b"-" + b"b" * 900_000) + END
    for charset in ("punycode", "unicode_escape", "utf-7", "x" * 5000):
        kind = {"Content-Type": f"{FORM['Content-Type']}; charset={charset}"}
        answer = http.post(REFERENCES, content=body, headers=kind)
        assert answer.status_code == 415
    kind = {"Content-Type": f"{FORM['Content-Type']}; charset=UTF-8"}
    body = part(b"reference", recording(), b"a.wav") + END
    assert http.post(REFERENCES, content=body, headers=kind).status_code == 201


JSONS = {
    "not JSON": b"{",
    "no UTF-8": b'{"text": "\xff\xfe"}',
    "deep lists": b"[" * 1_000_000,
    "deep objects": b'{"a":' * 200_000,
    "deep and complete": b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long number": b'{"text": "a", "seed": ' + b"9" * 5000 + b"}",
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(45_000)) + b"}",
    "more keys": b"{" + b",".join(b'"k%d":1' % n for n in range(90_000)) + b"}",
    "a long key": b'{"' + b"k" * 900_000 + b'": 1}',
    "an escaped key": b'{"\\ud800": 1}',
    "a list": b'["text"]',
    "null": b"null",
    "nothing": b"",
    "a NUL as speaker": b'{"text": "a", "speaker": "a\\u0000b"}',
    "nothing but NULs": b'{"text": "\\u0000\\u0000"}',
}
VALUES = ("NaN", "Infinity", "1e400", "[]", '"\\ud800"')
FIELDS = ("speed", "pitch", "temperature", "top_p", "priority", "time_limit", "seed")
TEXTS = ("text", "speaker", "language", "instruct", "backend", "checkpoint", "format")


@pytest.mark.parametrize("what", JSONS)
def test_json_made_to_hurt_is_refused(http, what):
    _hurts_nothing(http, GENERATE, JSONS[what])


def test_every_route_of_json_is_guarded_alike(http):
    for what in ("not JSON", "deep and complete", "more keys", "a long number"):
        _hurts_nothing(http, TRAIN, JSONS[what].replace(b"text", b"test_text"))
        _hurts_nothing(http, "/v1/audio/speech", JSONS[what].replace(b"text", b"input"))


def test_no_field_takes_what_is_no_number_or_no_text(http):
    for field in FIELDS:
        for value in VALUES:
            body = f'{{"text": "a", "{field}": {value}}}'
            _hurts_nothing(http, GENERATE, body.encode())
    for field in TEXTS:  # half a surrogate pair
        body = json.dumps({"text": "a", field: "\ud800"}).encode()
        _hurts_nothing(http, GENERATE, body)


def test_small_lists_do_not_become_a_gigabyte(http):
    """A recording may be sent as JSON of megabytes; [[],[],…] takes thirty times its length."""
    body = b'{"input": [' + b"[]," * (1024 * 300) + b"[]]}"
    tracemalloc.start()
    try:
        _hurts_nothing(http, "/v1/audio/speech", body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(body)
