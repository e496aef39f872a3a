"""``storycore-tts keys``, and what other commands show of keys and passwords."""

from pathlib import Path

import yaml

from storycore_tts.domain.keys import hashed, owner_of

PASSWORD = "p4ssw0rd"


def settings(block):
    Path("mine.yaml").write_text(yaml.safe_dump({"tts": {"qwen": block}}))


def test_a_key_is_shown_once_with_the_settings_that_let_it_in(cli):
    answer = cli("keys", "new", "mia")
    key = answer.out.strip()
    assert answer.status == 0
    assert len(key) > 40
    settings = yaml.safe_load(answer.err.partition("\n")[2])["tts"]["qwen"]["server"]["api_keys"]
    assert settings == {"mia": hashed(key)}
    assert owner_of(key, settings) == "mia"
    assert key not in answer.err
    assert cli("keys", "new", "mia", "--json").json["key"] != key


def test_an_owner_is_a_name(cli):
    for name in ("", "a b", "../x", "a: b", "x" * 65):
        assert cli("keys", "new", name).status == 2


def test_the_settings_in_force_show_no_secrets(there):
    secret = f"postgresql://tts:{PASSWORD}@db.example/jobs"
    settings(
        {
            "comfyui": {"headers": {"Authorization": f"Bearer {PASSWORD}", "X-Key": "t0psecret"}},
            "server": {"database_url": secret, "api_keys": {"mia": "0" * 64}},
        }
    )
    for form in ([], ["--json"]):
        answer = there("doctor", "--config", "mine.yaml", "--settings", *form)
        assert answer.status == 0
        for shown in ("server.database_url", "comfyui.headers.Authorization", "***"):
            assert shown in answer.out
        for hidden in (PASSWORD, "t0psecret", "0" * 64):
            assert hidden not in answer.out + answer.err


def test_a_refusal_shows_no_secrets(cli):
    key = "sctts_a-key-where-its-hash-belongs"
    address = f"postgresql://tts:{PASSWORD}@db.example"
    for block in (
        {"comfyui": {"headers": {"X-Key": 73577357}}},
        {"comfyui": {"headers": f"Bearer {PASSWORD}"}},
        {"comfyui_url": f"http://me:{PASSWORD}@127.0.0.1"},
    ):
        settings(block)
        answer = cli("doctor", "--config", "mine.yaml", "--json")
        assert answer.status == 2
        assert "***" in answer.json["error"]["message"]
        for hidden in (PASSWORD, "73577357"):
            assert hidden not in answer.out + answer.err
    for server in (
        {"api_keys": {"mia": key}},
        {"api_keys": [key]},
        {"database_url": [f"{address}/jobs"]},
        {"database_url": f"{address}:port/jobs"},
        {"database_url": f"mysql://tts:{PASSWORD}@db.example/jobs"},
        {"database_url": f"postgresql://tts:a@{PASSWORD}@db.example/jobs"},
        {"database_url": f"postgresql://127.0.0.1:1/jobs?user=tts&password={PASSWORD}"},
        {"databse_url": f"{address}/jobs"},
        {"database_url": f"postgresql://tts:{PASSWORD}@127.0.0.1:1/jobs"},  # where nobody listens
    ):
        settings({"backend": "draft", "fallback": "none", "server": {"port": 0, **server}})
        answer = cli("serve", "--config", "mine.yaml")
        assert answer.status in (2, 4), server
        for hidden in (PASSWORD, key):
            assert hidden not in answer.out + answer.err, server
    assert answer.status == 4
    assert "127.0.0.1" in answer.err
