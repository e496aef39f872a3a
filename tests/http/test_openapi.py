"""The service against its own OpenAPI document, with requests that Schemathesis makes up."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from storycore_tts.domain.keys import hashed, new_key

from .serving import config, serving

pytestmark = pytest.mark.once

KEY = new_key()
SETTINGS = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def service(folder):
    server = {"requests_per_minute": None, "api_keys": {"tester": hashed(KEY)}}
    keyed = {"Authorization": f"Bearer {KEY}"}
    with (
        serving(config(folder, server=server)) as url,
        httpx.Client(base_url=url, timeout=60, headers=keyed) as client,
    ):
        yield client


def _schemathesis(service, folder, *options):
    """Run it, and return how many requests it has made; whatever it finds fails the test."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", SETTINGS, "run"),
        *("--no-color", "--continue-on-failure", "--request-timeout", "30"),
        *("-H", f"Authorization: Bearer {KEY}", *options),
        service.base_url.join("/openapi.json"),
    ]
    run = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    while any(service.get("/ai/tts/qwen/status").json()["jobs"].values()):
        pass  # jobs that were made on the way must end
    return int(re.search(r"(\d+) generated", run.stdout)[1])


def test_answers_are_as_documented_whatever_is_asked(service, tmp_path):
    few = ("--phases", "examples,fuzzing", "--max-examples", "5", "--generation-deterministic")
    assert _schemathesis(service, tmp_path, *few) > 60


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("prefer", ["", "respond-async"])
def test_answers_are_as_documented_for_thousands_of_requests(service, tmp_path, prefer):
    wanted = ["-H", f"Prefer: {prefer}"] if prefer else []
    assert _schemathesis(service, tmp_path, "--max-examples", "100", *wanted) > 2000
