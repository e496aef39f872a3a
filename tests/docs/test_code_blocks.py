"""Every code block in the documents runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from storycore_tts import QwenTTSConfig, load_config
from storycore_tts.testing.service import serving
from storycore_tts.testing.tiny_models import build_tiny_models, install_torchaudio_placeholder

ROOT = Path(__file__).parents[2]
ARCHITECTURE = "documentation/ARCHITECTURE.md"
DIRECT = "documentation/DIRECT.md"
MIGRATION = "documentation/MIGRATION.md"
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "examples/scratch_track/README.md",
    "documentation/API_REFERENCE.md",
    ARCHITECTURE,
    DIRECT,
    MIGRATION,
    "documentation/OBSERVABILITY.md",
    "documentation/QWEN_TTS_INTEGRATION.md",
    "documentation/RESILIENCE.md",
    "documentation/SERVICE.md",
    "documentation/STORYCORE.md",
    "documentation/TESTING.md",
    "documentation/VOICES.md",
]
COMFYUI = re.compile("http://127.0.0.1:(8188|8000)")  # Desktop's port is the second one
SERVICE = "http://127.0.0.1:8600"
ENDLESS = ("serve", "standin")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(*languages: str, documents: Sequence[str] = DOCUMENTS) -> list:
    return [
        pytest.param(code, id=f"{document}-{number}")
        for document in documents
        for number, (language, code) in enumerate(
            FENCE.findall((ROOT / document).read_text(encoding="utf-8"))
        )
        if language in languages
    ]


def ended_well(command: list[str], folder: Path, **settings: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STORYCORE_TTS_")}
    environment["STORYCORE_TTS_VOICES_DIR"] = str(folder / "voices")
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**environment, **settings, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


# Those whose blocks belong together have a test of their own: here, and in test_architecture.py.
ONE_BY_ONE = [document for document in DOCUMENTS if document not in (ARCHITECTURE, DIRECT)]


@pytest.mark.parametrize("code", blocks("python", documents=ONE_BY_ONE))
def test_python(standin_comfyui, tmp_path: Path, code: str):
    server = {"port": 0, "state_dir": str(tmp_path / "state")}
    config = QwenTTSConfig(backend="draft", default_language="English", server=server)
    with nullcontext() if SERVICE not in code else serving(config) as url:
        runs(code.replace(SERVICE, url or ""), standin_comfyui, tmp_path)


def runs(code, standin_comfyui, tmp_path):
    program = tmp_path / "test_block.py"
    program.write_text(COMFYUI.sub(standin_comfyui.url, code), "utf-8")
    runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "\ndef test_" in code else []
    ended_well(
        [sys.executable, *runner, str(program)],
        tmp_path,
        STORYCORE_TTS_COMFYUI_URL=standin_comfyui.url,
    )


ANYWHERE = [document for document in ONE_BY_ONE if document != MIGRATION]


@pytest.mark.parametrize("code", blocks("console", documents=ANYWHERE))
def test_our_commands(standin_comfyui, tmp_path: Path, code: str):
    """Those of our own command that end by themselves run; the others are not ours to test."""
    tone = 0.3 * np.sin(np.arange(96_000) / 20)
    soundfile.write(tmp_path / "reference.wav", tone, 24_000)
    for command in our_commands(COMFYUI.sub(standin_comfyui.url, code)):
        ended_well(command, tmp_path, STORYCORE_TTS_COMFYUI_URL=standin_comfyui.url)


@pytest.mark.parametrize("code", blocks("console", documents=[MIGRATION]))
def test_commands_in_a_checkout_of_the_engine(small_engine: Path, code: str):
    for command in our_commands(code):
        ended_well(command, small_engine)


def test_the_direct_document(tmp_path: Path):
    """Its program and its commands, in order, on tiny models."""
    needed = "needs pip install 'storycore-tts[direct]'"
    pytest.importorskip("torch", reason=needed)
    install_torchaudio_placeholder()
    pytest.importorskip("qwen_tts", reason=needed)
    models = build_tiny_models(tmp_path / "models")
    places = {
        "1.7B-CustomVoice": str(models.path("custom_voice")),
        "1.7B-Base": str(models.path("base")),
    }
    settings = {
        "STORYCORE_TTS_BACKEND": "direct",
        "STORYCORE_TTS_DEVICE": "cpu",
        "STORYCORE_TTS_PRECISION": "fp32",
        "STORYCORE_TTS_DIRECT__MODELS": json.dumps(places),
        "PYTHONPATH": str(torchaudio_placeholder(tmp_path / "placeholder")),
        "OMP_NUM_THREADS": "1",
    }
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for number in range(2):
        tone = 0.3 * np.sin(np.arange(24_000) * 2 * np.pi * (200 + 30 * number) / 24_000)
        soundfile.write(recordings / f"{number}.wav", tone, 24_000)
        (recordings / f"{number}.txt").write_text(f"Recording {number}.", encoding="utf-8")
    text = (ROOT / DIRECT).read_text(encoding="utf-8")
    for language, code in FENCE.findall(text):
        if language == "python":
            ended_well([sys.executable, "-c", code], tmp_path, **settings)
        for command in our_commands(code) if language == "console" else ():
            ended_well(command, tmp_path, **settings)


def our_commands(code: str) -> list[list[str]]:
    module = [sys.executable, "-m", "storycore_tts.entrypoints.cli"]
    return [
        [*module, *shlex.split(line, comments=True)[1:]]
        for line in code.splitlines()
        if line.startswith("storycore-tts ") and line.split()[1] not in ENDLESS
    ]


def torchaudio_placeholder(folder: Path) -> Path:
    """Write what ``install_torchaudio_placeholder`` puts in place, for another process."""
    package = folder / "torchaudio" / "compliance"
    package.mkdir(parents=True)
    for module in (folder / "torchaudio" / "__init__.py", package / "__init__.py"):
        module.touch()
    (package / "kaldi.py").touch()
    return folder


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
