"""Checks of a running engine: who speaks, what its page gets, what happens when things break."""

from __future__ import annotations

import io
import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from workplace import EDITOR, Checkout, Engine, Failed, Skipped, Workplace, expect

from storycore_tts.domain.voices import gender_of

NOTICED_SECONDS = 1.2  # a running engine looks at its YAML at most once a second
LINE = "Nobody has been in this room for years."
PAGE_VOICES = {
    "fr-FR-Denise": "female",
    "fr-FR-Henri": "male",
    "en-US-Jenny": "female",
    "en-US-Ryan": "male",
    "en-GB-Amelia": "female",
    "de-DE-Katja": "female",
    "es-ES-Elvira": "female",
    "it-IT-Elsa": "female",
}
_OURS = re.compile(rf"{EDITOR}/(ai/tts|jobs|v1/jobs)|/api/tts/preview")

_FACTORY = """
import asyncio, json, sys
sys.path.insert(0, "backend")
from video_editor_ai_service import AIConfig, create_tts_service

async def main():
    service = create_tts_service(AIConfig(tts_model="qwen"))
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = await service.text_to_speech(line.strip())
        print(json.dumps({"path": told.audio_path, "duration": told.duration}), flush=True)

asyncio.run(main())
"""

_TINY = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
from storycore_tts.testing.tiny_models import build_tiny_models
if not (find_spec("torch") and find_spec("qwen_tts")):
    raise ModuleNotFoundError
models = build_tiny_models(Path(sys.argv[1]))
names = {"CustomVoice": "custom_voice", "Base": "base"}
print(json.dumps({
    f"{size}-{name}": str(models.path(kind, size))
    for name, kind in names.items() for size in ("0.6B", "1.7B")
}))
"""

# Each route of the description is asked for; what is found is not run.
_WHO_ANSWERS = """
import asyncio, json
import fastapi.routing
from backend.main_api import app

async def not_run(**_):
    return None

async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}

async def send(message):
    pass

async def who(method, path):
    scope = {
        "type": "http", "method": method.upper(), "path": path, "raw_path": path.encode(),
        "root_path": "", "query_string": b"", "headers": [], "state": {}, "scheme": "http",
        "server": ("localhost", 80), "client": ("localhost", 1), "http_version": "1.1",
    }
    await app.router(scope, receive, send)
    return f"{scope['endpoint'].__module__}.{scope['endpoint'].__qualname__}"

async def main():
    fastapi.routing.run_endpoint_function = not_run
    found = {}
    for path, item in app.openapi()["paths"].items():
        for method in item:
            try:
                found[f"{method} {path}"] = await who(method, path)
            except Exception as error:
                found[f"{method} {path}"] = repr(error)[:200]
    print(json.dumps(found))

asyncio.run(main())
"""


class Factory:
    """The engine's ``create_tts_service``, in a process that lives on."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    def __enter__(self) -> Factory:
        self._errors = self._checkout.root.parent.joinpath("factory.log").open("w+b")
        self._process = subprocess.Popen(
            [str(self._checkout.python), "-W", "ignore", "-c", _FACTORY],
            cwd=self._checkout.root,
            env=dict(self._checkout.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def says(self, text: str) -> float:
        """Speak a line; the duration of its file, in seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise Failed(f"the factory's service: {self._errors.read()[-600:].decode()}")
        told = json.loads(line)
        return heard(Path(self._checkout.root, told["path"]).read_bytes(), told["duration"])


def heard(audio: bytes, told: float) -> float:
    """Return how long sound is; it is no silence, and as long as was told."""
    samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32")
    seconds = len(samples) / rate
    expect(float(np.abs(samples).max()) > 0.001, "the file is silent")
    expect(abs(seconds - told) < 0.02, f"it lasts {seconds:.3f} s, not {told} s")
    return float(seconds)


def played(engine: Engine, answer: dict[str, Any]) -> float:
    """Play what an answer of the page names, as the page does: by its URL, without a token."""
    missing = {"job_id", "status", "audio_path", "audio_url", "duration", "backend", "warnings"}
    missing -= answer.keys()
    expect(not missing, f"the answer lacks {sorted(missing)}")
    url = answer["audio_url"].removeprefix(engine.url)
    return heard(engine.call("GET", url, token="").content, answer["duration"])


def toggle(place: Workplace, phase: int) -> str:
    """The YAML on disk decides, while the engine and its factory run."""
    checkout = place.spoken_copy(phase)
    backends, left_out = ["comfyui", "draft", "direct"], ""
    try:
        models = tiny_models(place)
        checkout.configure(device="cpu", precision="fp32", direct={"models": models})
    except Skipped as why:
        backends.remove("direct")
        left_out = f"; direct left out: {why}"
    checkout.configure(fallback="none")
    with place.engine(checkout) as engine, Factory(checkout) as factory:
        for backend in [*backends, "comfyui"]:
            checkout.configure(backend=backend)
            time.sleep(NOTICED_SECONDS)
            before = place.jobs_asked()
            answer = engine.said(LINE)
            played(engine, answer)
            expect(answer["backend"] == backend, f"{backend} was set, {answer['backend']} spoke")
            factory.says(LINE)
            asked = place.jobs_asked() - before
            wanted = 2 if backend == "comfyui" else 0
            expect(asked == wanted, f"{backend}: ComfyUI had {asked} jobs, not {wanted}")
    return f"page and factory: {', '.join(backends)}{left_out}"


def tiny_models(place: Workplace) -> dict[str, str]:
    """Build checkpoints of a few megabytes with the engine's torch, once."""
    known = place.folder / "tiny-models.json"
    if not known.exists():
        known.write_text(json.dumps(_built(place)), encoding="utf-8")
    models: dict[str, str] = json.loads(known.read_text(encoding="utf-8"))
    return models


def _built(place: Workplace) -> dict[str, str]:
    checkout = place.copy()
    try:
        found: dict[str, str] = checkout.ask(_TINY, str(place.folder / "tiny-models"))
    except Failed as error:
        if "ModuleNotFoundError" not in str(error):
            raise
        raise Skipped("the engine's Python has no torch or no qwen_tts") from None
    return found


def comfyui_killed(place: Workplace) -> str:
    """Another backend speaks, and the answer says so; ComfyUI is back when it is back."""
    checkout = place.spoken_copy()
    with place.engine(checkout) as engine, place.comfyui_again():
        first = engine.said(LINE)
        expect(first["backend"] == "comfyui", f"{first['backend']} spoke before")
        place.comfyui.kill()
        second = engine.said(LINE)
        played(engine, second)
        expect(second["backend"] == "draft", f"{second['backend']} spoke")
        expect(second["warnings"], "no warning says that another backend spoke")
        place.comfyui.start()
        deadline = time.monotonic() + 30
        while engine.said(LINE)["backend"] != "comfyui":
            expect(time.monotonic() < deadline, "ComfyUI is not asked again")
    return f"{second['backend']}: {second['warnings'][0]}"


def two_workers(place: Workplace) -> str:
    """Both start, both speak, and either answers the poll of the other's job."""
    checkout = place.spoken_copy()
    with place.engine(checkout, workers=2) as engine:
        spoke: set[str] = set()
        lines = 0
        while len(spoke) < 2:
            expect(lines < 80, f"only {spoke} spoke")
            with ThreadPoolExecutor(8) as pool:
                for answer in pool.map(engine.said, [LINE] * 8):
                    played(engine, answer)
            lines += 8
            spoke = set(
                re.findall(rf'answered by (\d+): .*"POST {EDITOR}/ai/tts HTTP/1.1" 200', engine.log)
            )
        with ThreadPoolExecutor(4) as pool:
            for audio in pool.map(as_a_job, [engine] * 6):
                samples, rate = soundfile.read(io.BytesIO(audio))
                expect(len(samples) > rate / 4, "a job's sound is too short to be speech")
        expect("Traceback" not in engine.log, f"a traceback: {engine.log[-900:]}")
    return f"{lines} lines and 6 jobs by two processes"


def as_a_job(engine: Engine) -> bytes:
    """Speak a line as a job, asking whatever worker answers; its sound."""
    asked = {"json": {"text": LINE}, "headers": {"Prefer": "respond-async"}}
    job = engine.call("POST", f"{EDITOR}/ai/tts/qwen/generate", status=202, **asked).json()
    links = job["links"]
    deadline = time.monotonic() + 60
    while job["state"] != "succeeded":
        expect(job["state"] in ("queued", "running"), f"the job: {job}")
        expect(time.monotonic() < deadline, f"the job is still {job['state']}")
        time.sleep(0.2)
        job = engine.call("GET", links["self"]).json()
    return engine.call("GET", f"{links['self']}/audio").content


def two_engines(place: Workplace) -> str:
    """A second engine in the same folder, on another port, starts and speaks."""
    checkout = place.spoken_copy()
    with place.engine(checkout) as one, place.engine(checkout) as other:
        for engine in (one, other, one):
            played(engine, engine.said(LINE))
    return "both speak"


def page(place: Workplace) -> str:
    """All voices of its page become sound that can be played and lasts as long as was told."""
    checkout = place.spoken_copy()
    with place.engine(checkout) as engine:
        seconds = 0.0
        for voice, gender in PAGE_VOICES.items():
            since = place.jobs_asked()
            seconds += played(engine, engine.said(LINE, voice))
            speaker = place.asked_for("speaker", since)[-1]
            expect(gender_of(speaker) == gender, f"{voice} is spoken by {speaker}")
        fast = played(engine, engine.said(LINE, speed=2.0))
        slow = played(engine, engine.said(LINE, speed=1.0))
        expect(1.7 < slow / fast < 2.3, f"speed 2 lasts {fast:.2f} s, speed 1 {slow:.2f} s")
        body = {"voiceId": "en-GB-Amelia", "text": LINE}
        audio = engine.call("POST", "/api/tts/preview", json=body).content
        samples, rate = soundfile.read(io.BytesIO(audio))
        expect(len(samples) > rate / 4, "the preview is too short to be speech")
    return f"{len(PAGE_VOICES)} voices, {seconds:.1f} s; the preview plays"


def tokens(place: Workplace) -> str:
    """Without a token of the engine there is a 401 on every speech route."""
    checkout = place.spoken_copy()
    with place.engine(checkout) as engine:
        job = engine.said(LINE)["job_id"]
        asked = place.jobs_asked()
        body = {"text": LINE, "voice": "fr-FR-Denise"}
        for token in ("", "not-a-token-at-all", engine.token[:-3] + "abc"):
            engine.call("POST", f"{EDITOR}/ai/tts", token=token, status=401, json=body)
            engine.call("GET", f"{EDITOR}/ai/tts/{job}", token=token, status=401)
            preview = {"voiceId": "fr-FR-Denise", "text": LINE}
            engine.call("POST", "/api/tts/preview", token=token, status=401, json=preview)
        ours = sorted(_routes(engine) - _routes_of_the_given(place))
        for method, path in ours:
            filled = re.sub(r"{[^}]*}", job, path)
            engine.call(method.upper(), filled, token="", status=401, json={})
        expect(place.jobs_asked() == asked, "ComfyUI was asked for a caller without a token")
    return f"401 on {len(ours)} routes of ours"


def own_routes(place: Workplace) -> str:
    """All routes of the engine are its own still, but the one that the twin replaces."""
    before = _described(place, place.copy())
    after = _described(place, place.spoken_copy())
    for route, operation in before.items():
        if route == ("post", f"{EDITOR}/ai/tts"):
            continue
        expect(after.get(route) == operation, f"{route} is answered by {after.get(route)}")
    added = sorted(set(after) - set(before))
    foreign = [path for _, path in added if not _OURS.match(path)]
    expect(not foreign, f"routes that nobody asked for: {foreign}")
    return f"{len(before)} routes as before, {len(added)} of ours"


def own_health(place: Workplace) -> str:
    """``GET /api/video-editor/health`` is the engine's own."""
    with place.engine(place.copy()) as engine:
        before = engine.call("GET", f"{EDITOR}/health", token="").json()
    with place.engine(place.spoken_copy()) as engine:
        after = engine.call("GET", f"{EDITOR}/health", token="").json()
        expect(after == before, f"{after} in place of {before}")
        for name in ("metrics", "ready", "v1/models"):
            engine.call("GET", f"{EDITOR}/{name}", status=404)
    return json.dumps(after)[:70]


def bad_settings(place: Workplace) -> str:
    """The engine starts; speech routes say 503 and why; the mended file is enough."""
    checkout = place.spoken_copy()
    checkout.configure(backend="comfyu")
    with place.engine(checkout) as engine:
        engine.call("GET", f"{EDITOR}/health", token="")
        body = {"text": LINE, "voice": "fr-FR-Denise"}
        refused = engine.call("POST", f"{EDITOR}/ai/tts", status=503, json=body).text
        expect("comfyu" in refused, f"the reason is missing: {refused[:200]}")
        checkout.configure(backend="comfyui")
        time.sleep(NOTICED_SECONDS)
        played(engine, engine.said(LINE))
        checkout.configure(backend="comfyu")
        time.sleep(NOTICED_SECONDS)
        told = engine.said(LINE)
        expect("comfyu'" in str(told["warnings"]), f"the file is refused, and no warning: {told}")
    return refused[:110]


def _routes(engine: Engine) -> set[tuple[str, str]]:
    paths = engine.call("GET", "/openapi.json", token="").json()["paths"]
    return {(method, path) for path, item in paths.items() for method in item}


def _routes_of_the_given(place: Workplace) -> set[tuple[str, str]]:
    with place.engine(place.copy()) as engine:
        return _routes(engine)


def _described(place: Workplace, checkout: Checkout) -> dict[tuple[str, str], str]:
    """Which function answers a route first."""
    found: dict[str, str] = checkout.ask(_WHO_ANSWERS)
    return {tuple(route.split(" ", 1)): name for route, name in found.items()}  # type: ignore[misc]
