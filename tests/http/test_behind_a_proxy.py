"""The service below a prefix of a reverse proxy, open to pages of any origin, with keys."""

import httpx
import pytest

from storycore_tts import ConfigurationError, QwenTTSConfig
from storycore_tts.domain.keys import hashed
from storycore_tts.entrypoints.http import create_app

from .serving import ASYNC, GENERATE, JOBS, config, ended, serving
from .sounds import recording

KEY = "sctts_" + 43 * "k"
LISTS = ["/v1/models", "/v1/models/tts-1", "/v1/audio/models", "/v1/audio/voices",
         "/v1/audio/voices/tts-1"]  # fmt: skip


@pytest.fixture(scope="module")
def url(folder):
    server = {
        "api_keys": {"mia": hashed(KEY)},
        "open_lists": True,
        "allowed_origins": ["*"],
        "root_path": "/tts",
        "trusted_proxies": ["127.0.0.0/8"],
    }
    with serving(config(folder, server=server)) as url:
        yield url


@pytest.fixture(scope="module")
def keyed(url):
    with httpx.Client(
        base_url=url, timeout=60, headers={"Authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


def test_lists_need_no_key_where_the_operator_says_so_and_nothing_else_is_open(http, keyed):
    sample = {"audio_sample": ("mia.wav", recording(), "audio/wav")}
    form = {"name": "Mia", "consent": "Mia herself", "transcript": "La la la.", "tags": "warm"}
    kept = keyed.post("/v1/audio/voices", data=form, files=sample)
    assert kept.headers["Speech-Ignored"] == '["tags"]'
    for path in LISTS:
        for key in ({}, {"Authorization": "Bearer"}):
            assert http.get(path, headers=key).status_code == 200, path
        wrong = http.get(path, headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401
        assert wrong.json()["error"]["message"].startswith("Invalid API key.")
    listed = http.get("/v1/audio/voices")
    assert "Mia" in [voice["id"] for voice in listed.json()["voices"]]
    assert "La la la." not in listed.text
    assert {voice["created_at"] for voice in listed.json()["data"]} == {0}
    (told,) = keyed.get("/v1/audio/voices").json()["uploaded_voices"]
    assert told["ref_text"] == "La la la."
    for answer in (
        http.post("/v1/audio/speech", json={"input": "Hi."}),
        http.post("/v1/audio/voices", data=form, files=sample),
        http.delete("/v1/audio/voices/Mia"),
        http.get(f"{GENERATE}/../speakers"),
    ):
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("said", "prefix"),
    [
        ({}, "/tts"),
        ({"X-Forwarded-Prefix": "/a/voices/"}, "/a/voices"),
        ({"X-Forwarded-Prefix": "//evil.example"}, "/tts"),
        ({"X-Forwarded-Prefix": "/../x"}, "/tts"),
    ],
)
@pytest.mark.parametrize("stripped", [True, False])
def test_page_document_and_links_lie_below_the_prefix(keyed, said, prefix, stripped):
    base = "" if stripped else prefix
    document = keyed.get(f"{base}/openapi.json", headers=said).json()
    assert document["servers"] == [{"url": prefix}]
    page = keyed.get(f"{base}/", headers=said).text
    assert 'src="page/app.js"' in page  # relative to where the page is
    assert keyed.get(f"{base}/page/app.js", headers=said).status_code == 200
    answer = keyed.post(f"{base}{GENERATE}", json={"text": "Hi."}, headers={**said, **ASYNC})
    job = answer.json()
    assert answer.headers["Location"] == job["links"]["self"] == f"{prefix}{JOBS}/{job['id']}"
    if not stripped and not said:
        assert ended(keyed, job)["links"]["audio"] == f"{prefix}{JOBS}/{job['id']}/audio"


def test_the_prefix_alone_leads_to_the_page(keyed):
    answer = keyed.get("/tts")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/tts/")


async def test_a_stranger_is_not_believed_what_the_prefix_is():
    app = create_app(QwenTTSConfig(backend="draft", server={"trusted_proxies": ["10.1.2.3"]}))
    for address, prefix in (("10.1.2.3", "/tts"), ("10.1.2.4", None)):
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            said = {"X-Forwarded-Prefix": "/tts"}
            document = (await client.get("/openapi.json", headers=said)).json()
        assert document.get("servers") == ([{"url": prefix}] if prefix else None)


def test_any_page_may_use_a_service_that_has_keys_and_says_so(http, keyed):
    headers = {"Origin": "https://anywhere.example"}
    assert http.post("/v1/audio/speech", json={"input": "Hi."}, headers=headers).status_code == 401
    answer = keyed.post("/v1/audio/speech", json={"input": "Hi."}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == headers["Origin"]


def test_any_page_may_not_use_one_without_keys():
    anybody = QwenTTSConfig(backend="draft", server={"allowed_origins": ["*"]})
    with pytest.raises(ConfigurationError, match="any web page") as refused:
        create_app(anybody)
    assert "storycore-tts keys new" in refused.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("allowed_origins", ["https://editor.example/"]),
        ("allowed_origins", ["editor.example"]),
        ("allowed_origins", ["https://*.example"]),
        ("allowed_origins", ["null"]),
        ("root_path", "tts"),
        ("root_path", "/tts/"),
        ("root_path", "//tts"),
        ("trusted_proxies", ["proxy.example"]),
    ],
)
def test_what_would_never_match_is_refused(key, value):
    with pytest.raises(ConfigurationError) as refused:
        QwenTTSConfig(server={key: value})
    assert refused.value.key == f"server.{key}"
