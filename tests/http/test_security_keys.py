"""Whom the service lets in, and whose things are whose."""

import json
import sqlite3
import uuid

import httpx
import pytest

from storycore_tts import ConfigurationError, QwenTTSConfig
from storycore_tts.domain.keys import hashed, new_key
from storycore_tts.entrypoints.http import create_app

from .attacks import API, LINE, logged
from .serving import ASYNC, CLONE, GENERATE, JOBS, config, followed, serving
from .sounds import recording

MIA, TOM = "sctts_" + 43 * "m", "sctts_" + 43 * "t"  # pytest-xdist wants the same ids each time
OPEN = ["/", "/health", "/ready", "/openapi.json", "/nowhere"]


@pytest.fixture(scope="module")
def url(folder):
    keys = {"mia": hashed(MIA), "tom": hashed(TOM)}
    with serving(config(folder, server={"api_keys": keys, "requests_per_minute": None})) as url:
        yield url


def _client(url, key):
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


@pytest.fixture(scope="module")
def mia(url):
    with _client(url, MIA) as client:
        yield client


@pytest.fixture(scope="module")
def tom(url):
    with _client(url, TOM) as client:
        yield client


@pytest.fixture(scope="module")
def job(mia):
    answer = mia.post(GENERATE, json={"text": LINE}, headers=ASYNC)
    assert answer.status_code == 202
    return answer.json()["id"]


def _routes(http):
    """Return every operation of the OpenAPI document, and whether it says that it needs a key."""
    document = http.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = path.replace("{job_id}", str(uuid.uuid4())).replace("{name}", "x")
            yield method, place.replace("{model}", "x"), "security" in operation


def test_other_machines_need_a_key_and_this_one_does_not():
    assert QwenTTSConfig().server.host == "127.0.0.1"
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        create_app(QwenTTSConfig(backend="draft", server={"host": host}))
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.com", "127.0.0.1.nip.io"):
        with pytest.raises(ConfigurationError, match="no API keys are configured") as refused:
            create_app(QwenTTSConfig(backend="draft", server={"host": host}))
        assert "storycore-tts keys new" in refused.value.hint


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {MIA[:-1]}"},
        {"Authorization": f"Bearer {hashed(MIA)}"},  # what stands in the settings opens nothing
        {"Authorization": f"Basic {MIA}"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": f"Authorization={MIA}"},
    ],
)
def test_nobody_else_gets_in_anywhere(http, given):
    for method, path, keyed in _routes(http):
        params = {"api_key": MIA}  # a key in the address counts for nothing
        answer = http.request(method, path, headers=given, params=params)
        if not keyed:
            assert path in OPEN
            assert answer.status_code < 500
            continue
        assert (answer.status_code, method, path) == (401, method, path)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == 401


def test_a_stranger_is_sent_away_before_the_body_is_read(http):
    for path, kind in ((CLONE, "multipart/form-data; boundary=x"), (GENERATE, "application/json")):
        answer = http.post(path, content=b"{", headers={"Content-Type": kind})
        assert answer.status_code == 401  # not 400: the JSON was not looked at


def test_ids_of_jobs_cannot_be_guessed_even_by_one_who_knows_the_key(mia, tom, job):
    headers = {**ASYNC, "Idempotency-Key": "mine"}
    answers = [c.post(GENERATE, json={"text": LINE}, headers=headers) for c in (mia, tom)]
    ids = [answer.json()["id"] for answer in answers]
    assert len({job, *ids}) == 3
    assert {uuid.UUID(one).version for one in (job, *ids)} == {4}
    assert tom.get(f"{JOBS}/{ids[0]}").status_code == 404


def test_anothers_job_is_as_one_that_does_not_exist(mia, tom, job):
    for method, place in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/audio")):
        answers = [tom.request(method, f"{JOBS}/{one}{place}") for one in (job, uuid.uuid4())]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].json() == answers[1].json()
    assert mia.get(f"{JOBS}/{job}").json()["state"] != "cancelled"
    hers, his = ({one["id"] for one in c.get(JOBS).json()["jobs"]} for c in (mia, tom))
    assert job in hers
    assert not hers & his


def test_anothers_recording_is_as_one_that_does_not_exist(mia, tom):
    kept = mia.post(f"{API}/references", files={"reference": ("a.wav", recording())}).json()["id"]
    form = {"text": (None, LINE), "x_vector_only": (None, "true")}
    answers = [
        client.post(CLONE, files={**form, "reference_id": (None, reference)})
        for client, reference in ((tom, kept), (tom, "up_" + 48 * "0"), (mia, kept))
    ]
    assert [answer.status_code for answer in answers[:2]] == [404, 404]
    assert answers[0].json() == answers[1].json()
    assert answers[2].json()["type"].endswith(":unsupported-by-backend")  # it was found
    # The same bytes have another id, or one could find out what others have sent.
    again = tom.post(f"{API}/references", files={"reference": ("a.wav", recording())}).json()["id"]
    assert again != kept


def test_neither_lines_nor_keys_are_in_any_log(url, mia):
    secret = new_key()
    with logged() as lines, _client(url, secret) as stranger:
        for client in (mia, stranger):
            for more in ({"instruct": LINE}, {"speaker": "nobody"}, {LINE: 1}):
                client.post(GENERATE, json={"text": LINE, **more})
            client.post(GENERATE, content=f'{{"text": "{LINE}'.encode())
            for more in ({"voice": "Ryan"}, {"stream": True}):
                client.post("/v1/audio/speech", json={"input": LINE, **more})
            client.post(CLONE, data={"text": LINE}, files={"reference": b"no"})
            client.get(f"/{LINE}", params={"text": LINE})
        followed(mia, mia.post(GENERATE, json={"text": LINE}, headers=ASYNC).json())
    said = "\n".join(lines)
    assert "request.finished" in said  # it is the log of these very requests
    for hidden in (LINE, "Wombats", "zeppelins", MIA, TOM, secret, hashed(MIA)):
        assert hidden not in said


def test_what_is_stored_is_json_and_nothing_is_pickled(folder, mia, job):
    followed(mia, mia.get(f"{JOBS}/{job}").json())
    database = sqlite3.connect(folder / "state" / "store.sqlite")
    rows = database.execute(
        "SELECT spec, progress, document"
        " FROM storycore_tts_jobs JOIN storycore_tts_results ON id = job_id"
    ).fetchall()
    database.close()
    assert rows
    for row in rows:
        for text in row:
            json.loads(text or "null")
