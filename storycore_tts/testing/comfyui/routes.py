"""ComfyUI's HTTP interface."""

from __future__ import annotations

import json
import time
import urllib.parse
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from . import faults as fault
from . import jobs_api
from .core import Core
from .installation import ROOT, model_files
from .log import InterruptRequested, Submitted, Uploaded
from .prompt_jobs import PromptJob
from .storage import FOLDERS, MEDIA_TYPES, OutsideFolder
from .validation import Validator, problem

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]

TROUBLE = "500 Internal Server Error\n\nServer got itself in trouble"


class Routes:
    """The endpoints of one running server."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._number = 0

    def register(self, app: web.Application) -> None:
        """Register every endpoint at its path and under /api, as ComfyUI does."""
        get: dict[str, Endpoint] = {
            "/ws": self._core.sockets.handle,
            "/system_stats": self.system_stats,
            "/features": self.features,
            "/embeddings": self.embeddings,
            "/queue": self.queue,
            "/prompt": self.prompt_info,
            "/history": self.history,
            "/history/{prompt_id}": self.history_of,
            "/object_info": self.object_info,
            "/object_info/{node}": self.object_info_of,
            "/view": self.view,
            "/models/{folder}": self.models,
            "/internal/logs": self.printed,
            "/internal/folder_paths": self.folder_paths,
        }
        post: dict[str, Endpoint] = {
            "/prompt": self.submit,
            "/queue": self.change_queue,
            "/interrupt": self.interrupt,
            "/history": self.change_history,
            "/free": self.free,
            "/upload/image": self.upload,
        }
        prefix = self._core.options.prefix
        for mount in (prefix, f"{prefix}/api"):
            for path, endpoint in get.items():
                app.router.add_get(mount + path, endpoint)
            for path, endpoint in post.items():
                app.router.add_post(mount + path, endpoint)
        if self._core.options.modern:
            app.router.add_get(f"{prefix}/api/jobs", self.jobs)
            app.router.add_get(f"{prefix}/api/jobs/{{job_id}}", self.job)
            app.router.add_post(f"{prefix}/api/jobs/{{job_id}}/cancel", self.cancel_job)
            app.router.add_post(f"{prefix}/api/jobs/cancel", self.cancel_jobs)
        # All other paths are ComfyUI's static files.
        app.router.add_get("/{tail:.*}", self.no_such_file)

    # Server information

    async def system_stats(self, request: web.Request) -> web.Response:
        """GET /system_stats."""
        return web.json_response(self._core.system_stats())

    async def features(self, request: web.Request) -> web.Response:
        """GET /features."""
        return web.json_response(self._core.features())

    async def embeddings(self, request: web.Request) -> web.Response:
        """GET /embeddings: always empty."""
        return web.json_response([])

    async def object_info(self, request: web.Request) -> web.Response:
        """GET /object_info: every node."""
        core = self._core
        return web.json_response(core.catalogue.with_files(core.storage.inputs()))

    async def object_info_of(self, request: web.Request) -> web.Response:
        """GET /object_info/{node}: one node, {} if there is none."""
        name = request.match_info["node"]
        core = self._core
        known = core.catalogue.with_files(core.storage.inputs()) if name == "LoadAudio" else None
        nodes = known or core.catalogue.nodes()
        return web.json_response({name: nodes[name]} if name in nodes else {})

    async def models(self, request: web.Request) -> web.Response:
        """GET /models/{folder}: the files in a models folder; 404 if the folder is unknown."""
        options = self._core.options
        if request.match_info["folder"] != "qwen-tts" or not options.node_pack:
            return web.Response(status=404)
        return web.json_response(model_files(options))

    async def folder_paths(self, request: web.Request) -> web.Response:
        """GET /internal/folder_paths: the paths of the models folders."""
        known = {"qwen-tts": [ROOT]} if self._core.options.node_pack else {}
        return web.json_response(known)

    async def printed(self, request: web.Request) -> web.Response:
        """GET /internal/logs: the server's latest output."""
        return web.json_response(self._core.printed.text)

    async def no_such_file(self, request: web.Request) -> web.Response:
        """GET of any other path."""
        raise web.HTTPNotFound

    # Jobs

    async def submit(self, request: web.Request) -> web.Response:
        """POST /prompt."""
        try:
            body = json.loads(await request.text())
            answer, status = self._accept(body)
        except (ValueError, TypeError, AttributeError):
            # The real server answers 500 to anything but a JSON object with a graph.
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR, text=TROUBLE)
        return web.json_response(answer, status=status)

    def _accept(self, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
        core = self._core
        number = self._next_number(body)
        if "prompt" not in body:
            error = problem("no_prompt", "No prompt provided", "No prompt provided")
            return {"error": error, "node_errors": {}}, 400
        prompt_id = body.get("prompt_id", str(uuid.uuid4()))
        if core.options.modern and (complaint := jobs_api.bad_id(prompt_id)):
            error = problem("invalid_prompt_id", "Invalid prompt_id", complaint)
            return {"error": error, "node_errors": {}}, 400
        graph = body["prompt"]
        verdict = Validator(
            graph, core.catalogue.nodes(),
            file_exists=lambda name: core.storage.annotated(name).is_file(),
            modern=core.options.modern,
        ).verdict()  # fmt: skip
        if verdict.error:
            return {"error": verdict.error, "node_errors": verdict.node_errors}, 400
        extra = dict(body.get("extra_data", {}))
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        if core.options.modern:
            extra["create_time"] = int(time.time() * 1000)
        self._enqueue(PromptJob(number, str(prompt_id), graph, extra, verdict.outputs))
        answer = {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        return answer, 200

    def _next_number(self, body: dict[str, Any]) -> float:
        if "number" in body:
            return float(body["number"])
        number = -self._number if body.get("front") else self._number
        self._number += 1
        return number

    def _enqueue(self, job: PromptJob) -> None:
        core = self._core
        core.log.add(
            Submitted(
                prompt_id=job.prompt_id, client_id=job.client_id,
                number=job.number, graph=job.graph,
            )
        )  # fmt: skip
        core.queue.put(job)
        context = {"prompt_id": job.prompt_id, "client_id": job.client_id}
        # Nothing has been awaited since, so the job cannot have started yet.
        if core.faults.take(fault.DeletedByAnother, **context):
            core.queue.delete([job.prompt_id])
        if core.faults.take(fault.QueueCleared, **context):
            core.queue.clear()

    async def prompt_info(self, request: web.Request) -> web.Response:
        """GET /prompt: the number of jobs."""
        return web.json_response(self._core.queue_info())

    async def queue(self, request: web.Request) -> web.Response:
        """GET /queue."""
        queue = self._core.queue
        return web.json_response(
            {
                "queue_running": [queue.running.entry()] if queue.running else [],
                "queue_pending": [job.entry() for job in queue.pending],
            }
        )

    async def change_queue(self, request: web.Request) -> web.Response:
        """POST /queue: {"clear": true} or {"delete": [id, …]}; pending jobs only."""
        body = await request.json()
        if body.get("clear"):
            self._core.queue.clear()
        for prompt_id in body.get("delete", ()):
            self._core.queue.delete([prompt_id])
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        """POST /interrupt: one prompt if it is running, or (without an id) the running one."""
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            body = {}
        prompt_id = body.get("prompt_id")
        self._core.log.add(InterruptRequested(prompt_id=prompt_id))
        running = self._core.queue.running
        if not prompt_id or (running and running.prompt_id == prompt_id):
            self._core.executor.interrupt()
        return web.Response()

    async def history(self, request: web.Request) -> web.Response:
        """GET /history?max_items=…."""
        entries = self._core.history.all()
        if "max_items" in request.query:
            entries = self._core.history.newest(int(request.query["max_items"]))
        return web.json_response(entries)

    async def history_of(self, request: web.Request) -> web.Response:
        """GET /history/{id}: {} if the prompt is queued, running or unknown."""
        prompt_id = request.match_info["prompt_id"]
        entry = self._core.history.get(prompt_id)
        if entry is None or self._core.faults.take(fault.HistoryEmpty, prompt_id=prompt_id):
            return web.json_response({})
        return web.json_response({prompt_id: entry})

    async def change_history(self, request: web.Request) -> web.Response:
        """POST /history: {"clear": true} or {"delete": [id, …]}."""
        body = await request.json()
        if body.get("clear"):
            self._core.history.clear()
        for prompt_id in body.get("delete", ()):
            self._core.history.delete(prompt_id)
        return web.Response()

    async def free(self, request: web.Request) -> web.Response:
        """POST /free."""
        self._core.executor.free()
        return web.Response()

    # Jobs API of newer servers

    async def jobs(self, request: web.Request) -> web.Response:
        """GET /api/jobs."""
        return web.json_response(jobs_api.listing(self._core.queue, self._core.history))

    async def job(self, request: web.Request) -> web.Response:
        """GET /api/jobs/{id}."""
        found = jobs_api.one(self._core.queue, self._core.history, request.match_info["job_id"])
        if found is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(found)

    async def cancel_job(self, request: web.Request) -> web.Response:
        """POST /api/jobs/{id}/cancel."""
        return web.json_response({"cancelled": self._cancel(request.match_info["job_id"])})

    async def cancel_jobs(self, request: web.Request) -> web.Response:
        """POST /api/jobs/cancel: {"job_ids": [id, …]}; ended jobs are ignored."""
        body = json.loads(await request.text())
        job_ids = body.get("job_ids") if isinstance(body, dict) else None
        if not isinstance(job_ids, list):
            return web.json_response({"error": "job_ids must be a list"}, status=400)
        if invalid := [str(job_id) for job_id in job_ids if jobs_api.bad_id(job_id)]:
            error = {"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}
            return web.json_response(error, status=400)
        cancelled = [self._cancel(job_id) for job_id in job_ids]
        return web.json_response({"cancelled": any(cancelled)})

    def _cancel(self, job_id: str) -> bool:
        core = self._core
        if core.queue.running and core.queue.running.prompt_id == job_id:
            core.log.add(InterruptRequested(prompt_id=job_id))
            core.executor.interrupt()
            return True
        return bool(core.queue.delete([job_id]))

    # Files

    async def view(self, request: web.Request) -> web.Response:
        """GET /view: a stored file, or a range of it."""
        query = request.query
        name, kind = query.get("filename", ""), query.get("type", "output")
        if not name:
            return web.Response(status=404)
        if name.startswith("/") or ".." in name or kind not in FOLDERS:
            return web.Response(status=400)
        try:
            data = self._core.storage.read(kind, query.get("subfolder", ""), name)
        except OutsideFolder:
            return web.Response(status=403)
        if data is None:
            return web.Response(status=404)
        suffix = name[name.rfind(".") :].lower()
        headers = {
            "Content-Disposition": f'filename="{name}"',
            "Content-Type": MEDIA_TYPES.get(suffix, "application/octet-stream"),
            "Accept-Ranges": "bytes",
        }
        return _ranged(request, data, headers)

    async def upload(self, request: web.Request) -> web.Response:
        """POST /upload/image, which also accepts audio."""
        if not request.content_type.startswith("multipart/"):
            return web.Response(status=400)
        form = await request.post()
        image = form.get("image")
        kind = str(form.get("type") or "input")
        if not isinstance(image, web.FileField) or not image.filename or kind not in FOLDERS:
            return web.Response(status=400)
        data = image.file.read()
        try:
            name, subfolder = self._core.storage.upload(
                data, image.filename, kind=kind, subfolder=str(form.get("subfolder", "")),
                overwrite=form.get("overwrite") in ("true", "1"),
            )  # fmt: skip
        except OutsideFolder:
            return web.Response(status=400)
        except FileNotFoundError:
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR, text=TROUBLE)
        self._core.log.add(Uploaded(name=name, subfolder=subfolder, size=len(data)))
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})


def _ranged(request: web.Request, data: bytes, headers: dict[str, str]) -> web.Response:
    try:
        wanted = request.http_range
    except ValueError:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    if wanted.start is None and wanted.stop is None:
        return web.Response(body=data, headers=headers)
    start, stop, _ = wanted.indices(len(data))
    if start >= len(data):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return web.Response(status=206, body=data[start:stop], headers=headers)


def is_foreign(request: web.Request) -> bool:
    """Return whether the request is cross-origin from a browser; ComfyUI answers 403."""
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    if not host or not origin:
        return False
    return urllib.parse.urlsplit(origin).netloc.lower() != host.lower()
