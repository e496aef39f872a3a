"""Every code block in the documents runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from storycore_tts import load_config

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "documentation/TESTING.md"]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> list:
    return [
        pytest.param(code, id=f"{document}-{number}")
        for document in DOCUMENTS
        for number, (language, code) in enumerate(
            FENCE.findall((ROOT / document).read_text(encoding="utf-8"))
        )
        if language in languages
    ]


def ended_well(command: list[str], folder: Path, url: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STORYCORE_TTS_")}
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "STORYCORE_TTS_COMFYUI_URL": url, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("code", blocks("python"))
def test_python(standin_comfyui, tmp_path: Path, code: str):
    program = tmp_path / "test_block.py"
    program.write_text(code.replace("http://127.0.0.1:8188", standin_comfyui.url), "utf-8")
    runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "\ndef test_" in code else []
    ended_well([sys.executable, *runner, str(program)], tmp_path, standin_comfyui.url)


@pytest.mark.parametrize("code", blocks("console"))
def test_our_commands(standin_comfyui, tmp_path: Path, code: str):
    """Those of our own command that end by themselves run; the others are not ours to test."""
    tone = 0.3 * np.sin(np.arange(96_000) / 20)
    soundfile.write(tmp_path / "reference.wav", tone, 24_000)
    for line in code.replace("http://127.0.0.1:8188", standin_comfyui.url).splitlines():
        if line.startswith("storycore-tts ") and "standin" not in line:
            command = shlex.split(line, comments=True)[1:]
            module = [sys.executable, "-m", "storycore_tts.entrypoints.cli"]
            ended_well([*module, *command], tmp_path, standin_comfyui.url)


@pytest.mark.parametrize("code", blocks("yaml"))
def test_yaml(tmp_path: Path, code: str):
    assert set(yaml.safe_load(code)) == {"tts"}
    file = tmp_path / "settings.yaml"
    file.write_text(code, encoding="utf-8")
    assert str(file) in load_config(file, environ={}).sources.values()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_into_the_repository_lead_somewhere(document: str):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert ((ROOT / document).parent / target).exists(), target


def test_the_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
