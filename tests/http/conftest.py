"""Clients of the service that a module has at its `url`, and the usual ComfyUI behind it."""

import httpx
import openai
import pytest

from storycore_tts.testing.comfyui import StandInComfyUI


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI(modern=True) as server:
        yield server


@pytest.fixture(scope="module")
def http(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def browser():
    from .browser import chromium

    with chromium() as running:
        yield running
