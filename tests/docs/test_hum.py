"""The sample adapter is a wheel of its own: built and installed, it does all that ours do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import soundfile

from .forks import Forks

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "hum"
CLI = ("-m", "storycore_tts.entrypoints.cli")
SETTINGS = "tts:\n  qwen:\n    hum:\n      pitch: {pitch}\n"


def test_the_page_shows_what_the_example_holds():
    page = (ROOT / "documentation" / "ARCHITECTURE.md").read_text("utf-8")
    shown = re.findall(r"^```(?:python|toml)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    held = [file.read_text("utf-8") for file in EXAMPLE.iterdir() if file.is_file()]
    assert len(shown) == 5
    assert [part for part in shown if not any(part in text for text in held)] == []
    adapter = (EXAMPLE / "storycore_tts_hum.py").read_text("utf-8")
    assert len(adapter.splitlines()) < 100


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed; nothing is downloaded for it."""
    if find_spec("hatchling") is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("needs hatchling: pip install -e '.[test]'")
    folder = tmp_path_factory.mktemp("packages")
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install")
    subprocess.run([*pip, *options, "--target", folder, EXAMPLE], check=True, timeout=60)
    return folder


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> dict[str, Any]:
    """How programs run that can import it."""
    return {"folder": tmp_path, "path": (str(wheel),)}


def test_it_keeps_the_contract(forks: Forks, installed: dict[str, Any], tmp_path: Path):
    (tmp_path / "test_hum.py").write_text((EXAMPLE / "test_hum.py").read_text("utf-8"), "utf-8")
    said = forks.test("test_hum.py", **installed)
    assert int(re.search(r"(\d+) passed", said)[1]) > 15


def test_it_speaks_as_its_settings_say(forks: Forks, installed: dict[str, Any], tmp_path: Path):
    words = (*CLI, "say", "Hello there.", "--backend", "hum", "--out", "hum.wav")
    forks.run(*words, STORYCORE_TTS_HUM__TEMPO="20", **installed)
    assert soundfile.info(tmp_path / "hum.wav").duration == pytest.approx(0.6)


def test_doctor_shows_it_with_its_settings_and_where_they_stand(
    forks: Forks, installed: dict[str, Any], tmp_path: Path
):
    (tmp_path / "storycore-tts.yaml").write_text(SETTINGS.format(pitch=220.0))
    doctor = (*CLI, "doctor", "--backend", "hum", "--json")
    told = json.loads(
        forks.run(*doctor, STORYCORE_TTS_COMFYUI_URL="http://127.0.0.1:9", **installed)
    )
    assert (told["usable"], told["backends"]["hum"]["details"]) == (True, {"pitch": "220 Hz"})
    file = {"source": "storycore-tts.yaml", "line": 4}
    assert told["settings"]["hum.pitch"] == {"value": 220.0, **file}
    assert told["settings"]["hum.tempo"] == {"value": 10.0, "source": "default"}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("pitch: 20", "storycore-tts.yaml:4: tts.qwen.hum.pitch cannot be 20. Allowed: greater"),
        (
            "pich: 220",
            "storycore-tts.yaml:4: tts.qwen.hum.pich is not a known key. Allowed: "
            "one of pitch, tempo. Did you mean 'pitch'?",
        ),
    ],
)
def test_its_settings_are_refused_like_ours(
    forks: Forks, installed: dict[str, Any], tmp_path: Path, block: str, said: str
):
    file = tmp_path / "storycore-tts.yaml"
    file.write_text(SETTINGS.replace("pitch: {pitch}", block))
    program = tmp_path / "load.py"
    program.write_text("from storycore_tts import load_config\nload_config()")
    with pytest.raises(AssertionError, match=re.escape(said)):
        forks.run("load.py", **installed)
