"""Every code block in the documents runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from storycore_tts import QwenTTSConfig, load_config
from storycore_tts.domain.cast_file import read_cast
from storycore_tts.testing.service import serving

from .forks import Forks

ROOT = Path(__file__).parents[2]
ARCHITECTURE = "documentation/ARCHITECTURE.md"
DIRECT = "documentation/DIRECT.md"
MIGRATION = "documentation/MIGRATION.md"
EXPLAINED = (
    "ARCHITECTURE", "CASTING", "DIRECT", "GALLERY", "GLOSSARY", "MIGRATION", "OBSERVABILITY",
    "PROMISES", "QWEN_TTS_INTEGRATION", "RECIPES", "REFERENCE", "RESILIENCE", "SERVICE",
    "STORYCORE", "TESTING", "TRACES", "TRUST", "VOICES", "index",
)  # fmt: skip
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "examples/scratch_track/README.md",
    *(f"documentation/{name}.md" for name in EXPLAINED),
]
COMFYUI = re.compile("http://127.0.0.1:(8188|8000)")  # Desktop's port is the second one
SERVICE = "http://127.0.0.1:8600"
ENDLESS = ("serve", "standin")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def our_commands(code: str) -> list[list[str]]:
    module = ["-m", "storycore_tts.entrypoints.cli"]
    return [
        [*module, *shlex.split(line, comments=True)[1:]]
        for line in code.replace("\\\n", " ").splitlines()
        if line.startswith("storycore-tts ") and line.split()[1] not in ENDLESS
    ]


def blocks(*languages: str, documents: Sequence[str] = DOCUMENTS) -> list:
    return [
        pytest.param(code, id=f"{document}-{number}")
        for document in documents
        for number, (language, code) in enumerate(
            FENCE.findall((ROOT / document).read_text(encoding="utf-8"))
        )
        if language in languages and (language != "console" or our_commands(code))
    ]


@pytest.fixture
def run(forks: Forks, tmp_path: Path) -> Callable[..., str]:
    """Run a program or a module as ``python`` would, to its good end."""
    settings = {"STORYCORE_TTS_VOICES_DIR": str(tmp_path / "voices")}

    def run(*arguments: str, folder: Path = tmp_path, **more: str) -> str:
        return forks.run(*arguments, folder=folder, **settings, **more)

    return run


# Those whose blocks belong together have a test of their own: here, and in test_hum.py.
ONE_BY_ONE = [document for document in DOCUMENTS if document not in (ARCHITECTURE, DIRECT)]


@pytest.mark.parametrize("code", blocks("python", documents=ONE_BY_ONE))
def test_python(forks: Forks, standin_comfyui, tmp_path: Path, code: str):
    server = {"port": 0, "state_dir": str(tmp_path / "state")}
    config = QwenTTSConfig(backend="draft", default_language="English", server=server)
    with nullcontext() if SERVICE not in code else serving(config) as url:
        program = tmp_path / "test_block.py"
        code = COMFYUI.sub(standin_comfyui.url, code.replace(SERVICE, url or ""))
        program.write_text(code, "utf-8")
        run = forks.test if "\ndef test_" in code else forks.run
        settings = {
            "STORYCORE_TTS_VOICES_DIR": str(tmp_path / "voices"),
            "STORYCORE_TTS_COMFYUI_URL": standin_comfyui.url,
        }
        run(str(program), folder=tmp_path, **settings)


ANYWHERE = [document for document in ONE_BY_ONE if document != MIGRATION]


@pytest.mark.parametrize("code", blocks("console", documents=ANYWHERE))
def test_our_commands(run, standin_comfyui, tmp_path: Path, code: str):
    """Those of our own command that end by themselves run; the others are not ours to test."""
    tone = 0.3 * np.sin(np.arange(96_000) / 20)
    soundfile.write(tmp_path / "reference.wav", tone, 24_000)
    dialogue = tmp_path / "data" / "dialogues" / "S02.json"
    dialogue.parent.mkdir(parents=True)
    dialogue.write_text('{"lines": [{"character_name": "Marie", "dialogue": "Now!"}]}')
    for command in our_commands(COMFYUI.sub(standin_comfyui.url, code)):
        run(*command, STORYCORE_TTS_COMFYUI_URL=standin_comfyui.url)


@pytest.mark.parametrize("code", blocks("console", documents=[MIGRATION]))
def test_commands_in_a_checkout_of_the_engine(run, small_engine: Path, code: str):
    for command in our_commands(code):
        run(*command, folder=small_engine)


def test_the_direct_document(run, tiny_places: dict[str, str], tmp_path: Path):
    """Its program and its commands, in order, on tiny models."""
    settings = {
        "STORYCORE_TTS_BACKEND": "direct",
        "STORYCORE_TTS_DEVICE": "cpu",
        "STORYCORE_TTS_PRECISION": "fp32",
        "STORYCORE_TTS_DIRECT__MODELS": json.dumps(tiny_places),
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
            (tmp_path / "block.py").write_text(code, encoding="utf-8")
            run(str(tmp_path / "block.py"), **settings)
        for command in our_commands(code) if language == "console" else ():
            run(*command, **settings)


def test_yaml(tmp_path: Path):
    """Each block is settings, or the cast of a project."""
    file = tmp_path / "settings.yaml"
    for block in blocks("yaml"):
        (code,) = block.values
        if set(yaml.safe_load(code)) != {"tts"}:
            assert read_cast(code, block.id).roles, block.id
            continue
        file.write_text(code, encoding="utf-8")
        assert str(file) in load_config(file, environ={}).sources.values(), block.id


def test_links_into_the_repository_lead_somewhere():
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)", text):
            if "://" not in target:
                assert ((ROOT / document).parent / target).exists(), (document, target)


def test_the_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
