"""How often each key may ask; when it may ask again is in test_timing.py."""

import httpx
import openai
import pytest

from storycore_tts.domain.keys import hashed

from .attacks import API, LINE
from .serving import config, serving

MIA, TOM = "sctts_" + 43 * "m", "sctts_" + 43 * "t"


def _client(url, key):
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def test_a_flood_by_one_key_or_by_none_harms_no_other(tmp_path):
    most, editor = 5, "https://editor.example"
    keys = {"mia": hashed(MIA), "tom": hashed(TOM)}
    server = {"api_keys": keys, "requests_per_minute": most, "allowed_origins": [editor]}
    with (
        serving(config(tmp_path, server=server)) as url,
        _client(url, MIA) as mia,
        _client(url, TOM) as tom,
        _client(url, "wrong") as stranger,
    ):
        for _ in range(2 * most):
            assert stranger.get(f"{API}/jobs").status_code == 401
            assert mia.get("/health").status_code == 200
        answers = [mia.get(f"{API}/jobs") for _ in range(most + 1)]
        assert [answer.status_code for answer in answers] == [200] * most + [429]
        refused = answers[-1]
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.json()["retryable"] is True
        assert refused.headers["X-Content-Type-Options"] == "nosniff"
        assert tom.get(f"{API}/jobs").status_code == 200
        # Nor is the body read of one who asks too often: this one is no JSON at all.
        kind = {"Content-Type": "application/json"}
        assert mia.post(f"{API}/generate", content=b"{", headers=kind).status_code == 429
        # A page of an allowed origin can read why it is refused.
        cross = mia.get(f"{API}/jobs", headers={"Origin": editor})
        assert cross.status_code == 429
        assert cross.headers["Access-Control-Allow-Origin"] == editor

        line = {"model": "qwen3-tts", "voice": "Ryan", "input": LINE}
        for key, error, words in (
            ("wrong", openai.AuthenticationError, "Invalid API key"),
            (MIA, openai.RateLimitError, "Rate limit exceeded: 5"),
        ):
            with (
                openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client,
                pytest.raises(error, match=words),
            ):
                client.audio.speech.create(**line)
