"""What users see of a real server in awkward cases, each as a row of a table."""

# ruff: noqa: T201 - it prints its report

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from storycore_tts import (
    CloneRequest,
    Progress,
    QwenTTSConfig,
    Sampling,
    Speech,
    SpeechRequest,
    TTSError,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.contract import tone_reference

_SEEDED = Sampling(seed=7)
_PATIENT = {"idle": 900.0, "request": 120.0}


class _Hiding(httpx.AsyncHTTPTransport):
    """A proxy that answers 403 to everything below some paths."""

    def __init__(self, *paths: str) -> None:
        super().__init__()
        self._paths = paths

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(self._paths):
            return httpx.Response(403, request=request)
        return await super().handle_async_request(request)


@asynccontextmanager
async def adapter(url: str, *hidden: str, **settings: Any) -> AsyncIterator[ComfyUIAdapter]:
    """An adapter on the server, some of whose paths are hidden."""
    config = QwenTTSConfig(comfyui_url=url, comfyui={"timeouts": _PATIENT}, **settings)
    made = ComfyUIAdapter(config, transport=_Hiding(*hidden) if hidden else None)
    try:
        yield made
    finally:
        await made.aclose()


async def said(work: Awaitable[Speech]) -> str:
    """Return what a user sees of a line: its error, or its model and its warnings."""
    try:
        speech = await work
    except TTSError as error:
        return f"{type(error).__name__}: {error}"
    model = speech.model or "(no model is named)"
    return "; ".join(
        [f"{speech.duration:.1f} s by {model}", *map("warning: {}".format, speech.warnings)]
    )


def row(point: str, asked: str, seen: str) -> None:
    """Print one."""
    print(f"| {point} | {asked} | {' '.join(seen.split()).replace('|', '/')} |", flush=True)


def line(text: str = "Yes.", **more: Any) -> SpeechRequest:
    """One short line."""
    return SpeechRequest(text, "Ryan", sampling=_SEEDED, **more)


async def table(url: str, models: Path | None) -> None:
    """Print all rows."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        [root, *_] = (await http.get("/internal/folder_paths")).json()["qwen-tts"]
        await _checkpoints(url, root)
        await _models_and_devices(url, models)
        await _progress(url, http)
    await _inputs(url)


async def _checkpoints(url: str, root: str) -> None:
    mine = f"{root}/Qwen3-TTS-12Hz-1.7B-CustomVoice"
    async with adapter(url, device="auto") as tts:
        for asked, path in (
            ("a checkpoint that exists nowhere", "/no/such/voice"),
            ("one that is not below models/qwen-tts", f"{root}/nobody"),
            ("one that is there", mine),
        ):
            row("1", asked, await said(tts.synthesize(line(checkpoint=path))))
        clone = CloneRequest(
            "Yes.", tone_reference(220.0), x_vector_only=True, sampling=_SEEDED,
            checkpoint="/no/such/base",
        )  # fmt: skip
        row("1", "a clone by a Base model that exists nowhere", await said(tts.clone(clone)))
    async with adapter(url, "/internal", device="auto") as tts:
        asked = "one that is there, behind a proxy that hides /internal"
        row("1", asked, await said(tts.synthesize(line(checkpoint=mine))))


async def _models_and_devices(url: str, models: Path | None) -> None:
    async with adapter(url, device="cuda") as tts:
        row("2", "device: cuda", await said(tts.synthesize(line("No."))))
        status = await tts.status()
        row("2", "doctor, device: cuda", f"device sent: {status.details['device sent']}")
        row("2", "doctor", "; ".join(str(p.message) for p in status.problems) or "no problems")
    async with adapter(url, device="xpu") as tts:
        row("2", "device: xpu", await said(tts.synthesize(line("No."))))
    if models is not None:
        with _taken_away(models / "Qwen3-TTS-12Hz-0.6B-CustomVoice"):
            async with adapter(url, device="auto", model_choice="0.6B") as tts:
                [problem] = (await tts.status()).problems
                row("2", "doctor, a model is missing", f"{problem.message} {problem.advice}")
                heard: list[Progress] = []
                seen = await said(tts.synthesize(line(), on_progress=heard.append))
                told = next((p.message for p in heard if p.message), "")
                row("2", "say, a model is missing: progress", told)
                row("2", "say, a model is missing: at its end", seen)
                row("2", "say once more, at once", await said(tts.synthesize(line("No."))))


@contextmanager
def _taken_away(folder: Path) -> Iterator[None]:
    aside = folder.with_name(f"{folder.name[:3]}.aside")
    folder.rename(aside)
    try:
        yield
    finally:
        aside.rename(folder)


async def _progress(url: str, http: httpx.AsyncClient) -> None:
    async with adapter(url, device="auto") as tts:
        for asked, text in (
            ("a first line", "One."),
            ("a second line", "Two."),
        ):
            heard: list[Progress] = []
            speech = await tts.synthesize(line(text), on_progress=heard.append)
            stages = dict.fromkeys(progress.stage.value for progress in heard)
            row("3", f"{asked}: its progress", ", ".join(stages))
        entry = (await http.get(f"/history/{speech.job_id}")).json()[speech.job_id]
        files = [file for output in entry["outputs"].values() for file in output["audio"]]
        row(
            "3",
            "files left on the server",
            ", ".join(f"{f['type']}/{f['filename']}" for f in files),
        )
        node = entry["prompt"][2]["voice"]["inputs"]
        names = ("top_p", "top_k", "temperature", "repetition_penalty", "max_new_tokens", "seed")
        row("4", "sampling, as sent", ", ".join(f"{name} {node.get(name)}" for name in names))
    async with adapter(url, "/history", device="auto") as tts:
        row("3", "history is cleared as the job ends", await said(tts.synthesize(line("Three."))))
    row("3", "timeouts.away", f"{QwenTTSConfig().comfyui.timeouts.away:g} s")


async def _inputs(url: str) -> None:
    async with adapter(url, device="auto") as tts:
        clone = CloneRequest(
            "Yes.", tone_reference(220.0), x_vector_only=True, sampling=_SEEDED, instruct="Whisper."
        )
        row("4", "a clone with instruct", await said(tts.clone(clone)))
