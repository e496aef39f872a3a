"""What OpenAI's own package makes of our refusals: its typed errors, and whether it asks again."""

import threading

import openai
import pytest

from storycore_tts.domain.keys import hashed
from storycore_tts.testing.comfyui import NodeError, StandInComfyUI

from .serving import config, serving

LINE = {"model": "qwen3-tts", "voice": "Ryan", "input": "Once upon a time."}
SWIFT = {"retry": {"attempts": 1}, "comfyui": {"timeouts": {"connect": 1.0, "away": 1.0}}}


def client_of(url, **more):
    return openai.OpenAI(base_url=f"{url}/v1", **{"api_key": "none", "max_retries": 0, **more})


def comfyui_settings(address, **server):
    return {"backend": "comfyui", "comfyui_url": address, **SWIFT, "server": server}


def test_a_key_is_needed_and_counts(tmp_path):
    server = {"api_keys": {"ann": hashed("sk-ann"), "ben": hashed("sk-ben")}}
    server["requests_per_minute"] = 3
    with serving(config(tmp_path, server=server)) as url:
        with client_of(url) as client, pytest.raises(openai.AuthenticationError, match="not known"):
            client.audio.speech.create(**LINE)
        with client_of(url, api_key="sk-ann") as client:
            for _ in range(3):
                client.models.list()
            with pytest.raises(openai.RateLimitError, match="More than 3") as refused:
                client.audio.speech.create(**LINE)
            assert 0 < int(refused.value.response.headers["retry-after"]) <= 60
        with client_of(url, api_key="sk-ben") as client:
            assert client.audio.speech.create(**LINE).read()


def test_a_backend_that_is_away_is_an_error_of_the_server(tmp_path):
    settings = comfyui_settings("http://127.0.0.1:1")
    with serving(config(tmp_path, **settings)) as url, client_of(url) as client:
        with pytest.raises(openai.InternalServerError, match="ComfyUI") as refused:
            client.audio.speech.create(**LINE)
        assert refused.value.status_code == 503
        assert refused.value.type == "server_error"
        assert refused.value.response.headers["x-should-retry"] == "true"
        with (
            pytest.raises(openai.InternalServerError),
            client.audio.speech.with_streaming_response.create(**LINE, stream_format="audio"),
        ):
            pass


def test_what_fails_for_good_is_not_asked_for_again(tmp_path):
    with (
        StandInComfyUI(modern=True) as comfyui,
        serving(config(tmp_path, **comfyui_settings(comfyui.url))) as url,
        client_of(url, max_retries=2) as client,
    ):
        comfyui.faults.add(NodeError(message="a wire is loose", times=None))
        with pytest.raises(openai.InternalServerError, match="a wire is loose") as failed:
            client.audio.speech.create(**LINE)
        assert failed.value.status_code == 502
        assert len(comfyui.log.submitted) == 1


def test_who_is_told_to_wait_comes_back_and_is_served(tmp_path):
    with (
        StandInComfyUI(modern=True, instant=True) as comfyui,
        serving(
            config(
                tmp_path,
                **comfyui_settings(comfyui.url, concurrency={"comfyui": 1}, max_waiting=0),
            )
        ) as url,
        client_of(url) as impatient,
        client_of(url, max_retries=4) as patient,
    ):
        gate = comfyui.faults.hold("running")
        first = threading.Thread(target=lambda: impatient.audio.speech.create(**LINE).read())
        first.start()
        assert gate.reached.wait(10)
        with pytest.raises(openai.InternalServerError, match="wait for comfyui") as refused:
            impatient.audio.speech.create(**LINE)
        assert refused.value.response.headers["retry-after"] == "2"

        threading.Timer(0.5, gate.release).start()
        assert patient.audio.speech.create(**LINE).read()
        first.join()
