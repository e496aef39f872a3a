"""Settings of services in tests, and other people's apps that hold one."""

import asyncio
import json
import threading
from contextlib import contextmanager

import uvicorn

from storycore_tts import QwenTTSConfig
from storycore_tts.testing.comfyui.log import Submitted
from storycore_tts.testing.contract import tone_dataset
from storycore_tts.testing.service import serving

GENERATE, CLONE, TRAIN, JOBS = (
    f"/ai/tts/qwen/{name}" for name in ("generate", "clone", "train", "jobs")
)
ASYNC = {"Prefer": "respond-async"}

__all__ = ["serving"]


def config(folder, **settings):
    """Return settings of a service that keeps all it has below one folder, on any free port."""
    server = {"port": 0, "state_dir": str(folder / "state"), **settings.pop("server", {})}
    usual = {
        "backend": "draft",
        "fallback": "none",
        "voices_dir": str(folder / "voices"),
        "default_language": "English",
    }
    return QwenTTSConfig(**{**usual, **settings}, server=server)


def on_comfyui(folder, url, /, **settings):
    """Return settings of a service that asks a ComfyUI server, once, and counts no requests."""
    counted = {"requests_per_minute": None, **settings.pop("server", {})}
    backend = {"backend": "comfyui", "comfyui_url": url, "retry": {"attempts": 1}}
    return config(folder, **backend, server=counted, **settings)


def with_tones(folder):
    """Lay a dataset, "tones", below a folder; return the server's settings to train on it."""
    (folder / "datasets").mkdir()
    tone_dataset(folder / "datasets" / "tones")
    return {
        "dataset_roots": [str(folder / "datasets")],
        "training_dir": str(folder / "trained"),
    }


def node_inputs(comfyui):
    """Return what the node pack's node was given last."""
    graph = comfyui.log.of(Submitted)[-1].graph
    return next(node["inputs"] for node in graph.values() if node["class_type"].startswith("FB_"))


def followed(http, job, *, then=lambda: None):
    """Return all that is told of a job until it has ended; after each piece, do something."""
    told = []
    with http.stream("GET", job["links"]["events"]) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event = None
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            event = value if name == "event" else event
            if name == "data":
                assert event == "job"
                told.append(json.loads(value))
                then()
    return told


def ended(http, job):
    return followed(http, job)[-1]


class _Announced(uvicorn.Server):
    """Says when it listens, or has failed to."""

    def __init__(self, app):
        super().__init__(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
        self.settled = threading.Event()

    async def startup(self, sockets=None):
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()


@contextmanager
def listening(app):
    """Serve somebody's app, with its lifespan, as uvicorn does; yield its address."""
    server = _Announced(app)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        server.settled.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
