"""Make the sounds and the pictures of GALLERY.md, in documentation/gallery.

    python documentation/make_gallery.py

Sounds are spoken by the draft backend. Pictures are taken of the service's page, in Chromium, and
of the command line while it speaks with the stand-in for ComfyUI. Needs the extras dev and docs.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.text import Text

from storycore_tts import QwenTTSConfig, Speech, open_tts
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.service import serving

FOLDER = Path(__file__).parent / "gallery"
LINE = "The lighthouse keeper climbed the stairs one last time."
SCENE = [
    ("Serena", "Did you hear that?"),
    ("Ryan", "It is only the wind."),
    ("Serena", "The wind does not knock."),
    ("Uncle_fu", "Good evening. May I come in?"),
]
LANGUAGES = {
    "French": "La lampe éclaira toute la baie, puis tout devint noir.",
    "German": "Die Lampe beleuchtete die ganze Bucht, dann wurde es dunkel.",
    "Spanish": "La lámpara iluminó toda la bahía, y después se hizo la oscuridad.",
}
PAUSE = 0.4  # s, between the lines of the scene
_TERMINAL = "\x1b[0;32m$ \x1b[0m"
# Rich's own format fetches its font from elsewhere.
_SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{font-family: monospace; font-size: {char_height}px;
line-height: {line_height}px;}} {styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}"
height="{terminal_height}"/></clipPath>{lines}</defs>{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


async def sounds() -> None:
    """A line, a scene, and a line in other languages."""
    async with open_tts(QwenTTSConfig(backend="draft", default_language="English")) as tts:
        line = await tts.say(LINE, speaker="Serena")
        line.save(FOLDER / "line.mp3")
        waveform(line)
        spoken = [await tts.say(text, speaker=speaker) for speaker, text in SCENE]
        pause = np.zeros(round(PAUSE * line.sample_rate), dtype=np.float32)
        pieces = [piece for speech in spoken for piece in (speech.samples, pause)]
        joined(line, np.concatenate(pieces)).save(FOLDER / "scene.mp3")
        for language, text in LANGUAGES.items():
            speech = await tts.say(text, speaker="Vivian", language=language)
            speech.save(FOLDER / f"{language.lower()}.mp3")


def joined(like: Speech, samples: np.ndarray) -> Speech:
    """Return several lines as one, which knows how to save itself."""
    return Speech(samples, like.sample_rate, like.backend, like.model)


def waveform(speech: Speech) -> None:
    """Draw the loudness of a line over its time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    picture, axes = plt.subplots(figsize=(8, 1.8), layout="constrained")
    hop = speech.sample_rate // 100
    peaks = np.abs(speech.samples[: len(speech.samples) // hop * hop].reshape(-1, hop)).max(axis=1)
    times = np.arange(len(peaks)) / 100
    axes.fill_between(times, -peaks, peaks, color="#4051b5", linewidth=0)
    axes.set(xlabel="seconds", yticks=[], xlim=(0, times[-1]))
    axes.spines[["left", "right", "top"]].set_visible(False)
    picture.savefig(FOLDER / "waveform.png", dpi=120)


def command_line() -> None:
    """Take a picture of each stage of a command, as a terminal shows it."""
    with StandInComfyUI(model_load_seconds=2, seconds_per_step=2) as comfyui:
        arguments = ["say", LINE, "--speaker", "Ryan", "--out", "line.wav"]
        said = _on_a_terminal([*arguments, "--url", comfyui.url])
    console = Console(width=88, record=True, file=StringIO(), force_terminal=True)
    console.print(
        Text.from_ansi(f'{_TERMINAL}storycore-tts say "{LINE}" --speaker Ryan --out line.wav')
    )
    for frame in _frames(said):
        console.print(Text.from_ansi(frame), overflow="crop", no_wrap=True)
    console.save_svg(str(FOLDER / "command-line.svg"), title="storycore-tts", code_format=_SVG)


def _on_a_terminal(arguments: list[str]) -> str:
    ours, theirs = pty.openpty()
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "storycore_tts.entrypoints.cli", *arguments]
        root = str(Path(__file__).parents[1])
        environment = {**os.environ, "COLUMNS": "88", "TERM": "xterm-256color", "PYTHONPATH": root}
        process = subprocess.Popen(  # noqa: S603 — our own command, no shell
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the terminal is closed: the process has ended
                break
        process.wait()
    os.close(ours)
    return said.decode("utf-8").replace(f"{folder}/", "/stories/")


def _frames(said: str) -> Iterator[str]:
    """Yield the last state of each stage: what a terminal shows before it is written over."""
    latest: dict[str, str] = {}
    for frame in re.split(r"\r\x1b\[2K|\r\n|\n|\r", said):
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame).strip()
        if plain:
            stage = re.match(r"(?:[^\w/]*)([\w/]+)", plain)
            latest[stage[1] if stage else plain] = re.sub(
                r"\x1b\[[0-9;?]*[A-LN-Za-ln-z]", "", frame
            )
    yield from latest.values()


def pictures() -> None:
    """Take pictures of the service's page: light, dark, and on a phone."""
    with TemporaryDirectory() as folder, _browser() as browser:
        server = {"port": 0, "state_dir": f"{folder}/state"}
        more: dict[str, Any] = {"voices_dir": f"{folder}/voices", "default_language": "English"}
        with serving(QwenTTSConfig(backend="draft", server=server, **more)) as url:
            for name, size, scheme in (
                ("page-light", (1100, 760), "light"),
                ("page-dark", (1100, 760), "dark"),
                ("page-phone", (390, 844), "light"),
            ):
                view = {"width": size[0], "height": size[1]}
                page = browser.new_page(viewport=view, color_scheme=scheme, reduced_motion="reduce")
                _spoken(page, url)
                page.screenshot(path=FOLDER / f"{name}.png")
                page.close()


def _spoken(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("What to say").fill(LINE)
    page.get_by_role("button", name="Speak").click()
    stage = page.get_by_role("group", name="The line you asked for")
    stage.get_by_role("link").first.wait_for()
    page.evaluate("document.activeElement.blur()")


@contextmanager
def _browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    asyncio.run(sounds())
    command_line()
    pictures()
