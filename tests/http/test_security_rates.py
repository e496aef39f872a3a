"""How often each key may ask."""

import httpx
import pytest

from storycore_tts.domain.keys import hashed, new_key

from .attacks import API
from .serving import config, serving

MIA, TOM = new_key(), new_key()
MOST = 5


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    server = {
        "api_keys": {"mia": hashed(MIA), "tom": hashed(TOM)},
        "requests_per_minute": MOST,
        "allowed_origins": ["https://editor.example"],
    }
    with serving(config(tmp_path_factory.mktemp("service"), server=server)) as url:
        yield url


def _ask(url, key, path=f"{API}/jobs", **headers):
    return httpx.get(f"{url}{path}", headers={"Authorization": f"Bearer {key}", **headers})


def test_a_flood_by_one_key_or_by_none_harms_no_other(url):
    for _ in range(3 * MOST):
        assert _ask(url, "wrong").status_code == 401
        assert _ask(url, MIA, "/health").status_code == 200
    answers = [_ask(url, MIA) for _ in range(MOST + 2)]
    assert [answer.status_code for answer in answers] == [200] * MOST + [429] * 2
    refused = answers[-1]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["retryable"] is True
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert _ask(url, TOM).status_code == 200
    # Nor is the body read of one who asks too often: this one is no JSON at all.
    headers = {"Authorization": f"Bearer {MIA}", "Content-Type": "application/json"}
    assert httpx.post(f"{url}{API}/generate", content=b"{", headers=headers).status_code == 429
    # A page of an allowed origin can read why it is refused.
    cross = _ask(url, MIA, Origin="https://editor.example")
    assert cross.status_code == 429
    assert cross.headers["Access-Control-Allow-Origin"] == "https://editor.example"
