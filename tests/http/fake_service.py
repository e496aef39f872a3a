"""The REST interface over the real studio, with jobs in memory; until the service itself is here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import uuid
from datetime import datetime, timezone
from pathlib import Path

from fastapi import FastAPI, Form, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse
from sse_starlette import EventSourceResponse

import storycore_tts.entrypoints
from storycore_tts.container import Container
from storycore_tts.domain.errors import InvalidRequest, TTSError, UnknownSpeaker
from storycore_tts.domain.jobs import Failure, Job, JobNotFound, JobNotReady, JobState, StoredAudio
from storycore_tts.domain.rendering import Rendering
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.studio import Studio, Terms

PAGE = Path(storycore_tts.entrypoints.__file__).parent / "http" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def now():
    return datetime.now(timezone.utc)


class Queue:
    """Jobs in memory."""

    def __init__(self):
        self.kept, self.files, self.tasks, self.changed = {}, {}, {}, asyncio.Condition()

    async def start(self, perform):
        self.perform = perform

    async def put(self, job):
        async with self.changed:
            self.kept[job.id] = job
            self.changed.notify_all()

    def change(self, job_id, **values):
        return Job(**{**vars(self.kept[job_id]), **values})

    async def submit(self, order):
        job = Job(str(uuid.uuid4()), order, JobState.QUEUED, now())
        await self.put(job)
        self.tasks[job.id] = asyncio.create_task(self.work(job.id, order))
        return job

    async def work(self, job_id, order):
        loop = asyncio.get_running_loop()

        def heard(progress):
            state = JobState.QUEUED if progress.stage.value == "queued" else JobState.RUNNING
            job = self.change(job_id, progress=progress, state=state, started=now())
            self.kept[job_id] = job
            loop.create_task(self.put(job) if not job.state.ended else asyncio.sleep(0))

        try:
            outcome = await self.perform(job_id, order, heard)
            self.files[job_id] = outcome
            end = {"state": JobState.SUCCEEDED, "facts": outcome.facts}
        except TTSError as error:
            end = {"state": JobState.FAILED, "failure": Failure.of(error)}
        except asyncio.CancelledError:
            end = {"state": JobState.CANCELLED}
        await asyncio.sleep(0.01)
        await self.put(self.change(job_id, ended=now(), **end))

    async def get(self, owner, job_id):
        if job_id not in self.kept:
            raise JobNotFound("There is no such job.")
        return self.kept[job_id]

    async def jobs(self, owner, *, state=None, limit=50, offset=0):
        return [j for j in reversed(self.kept.values()) if state in (None, j.state)][:limit]

    async def cancel(self, owner, job_id):
        await self.get(owner, job_id)
        self.tasks[job_id].cancel()
        await asyncio.wait([self.tasks[job_id]])
        return self.kept[job_id]

    async def audio(self, owner, job_id):
        await self.get(owner, job_id)
        if job_id not in self.files:
            raise JobNotReady("There is nothing to hear.")
        made = self.files[job_id]
        return StoredAudio(made.audio, made.media_type, "x")

    async def watch(self, owner, job_id):
        last = None
        while last is None or not last.state.ended:
            async with self.changed:
                await self.changed.wait_for(lambda: self.kept[job_id] != last)
                last = self.kept[job_id]
            yield last

    async def counts(self):
        return {}


class Uploads:
    def __init__(self):
        self.kept = {}

    async def put(self, owner, data):
        key = hashlib.sha256(data).hexdigest()
        self.kept[key] = data
        return key

    async def get(self, owner, key):
        if key not in self.kept:
            raise JobNotFound("There is no such upload.")
        return self.kept[key]


def told(job, base):
    order, here = job.order, f"{base}/jobs/{job.id}"
    progress = job.progress and {**vars(job.progress), "stage": job.progress.stage.value}
    made = job.state is JobState.SUCCEEDED
    return {
        "id": job.id,
        "kind": order.kind.value,
        "state": job.state.value,
        "backend": order.backend,
        "text": order.details["request"].get("text", ""),
        "speaker": order.details["request"].get("speaker"),
        "priority": order.priority,
        "created": job.created.isoformat(),
        "started": job.started and job.started.isoformat(),
        "ended": job.ended and job.ended.isoformat(),
        "progress": progress,
        "result": dict(job.facts) if made else None,
        "problem": job.failure
        and {
            "type": "about:blank",
            "title": job.failure.error,
            "status": 502,
            "detail": job.failure.message,
            "hint": job.failure.hint,
            "retryable": job.failure.retryable,
        },
        "links": {
            "self": here,
            "events": f"{here}/events",
            "audio": f"{here}/audio" if made else None,
        },
    }


def problem(status, title, detail, **more):
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, **more},
        status,
        media_type="application/problem+json",
    )


def create_fake(configs, *, key=None, prefix=""):
    """Make the app; configs: name -> QwenTTSConfig."""

    @contextlib.asynccontextmanager
    async def life(app):
        services = {name: Container(config=c).service() for name, c in configs.items()}
        for service in services.values():
            service._voices = next(iter(services.values())).voices
        capacities = {n: Capacity(n, concurrency=1, max_waiting=64) for n in configs}
        queue, uploads = Queue(), Uploads()
        app.state.studio = studio = Studio(services, capacities, queue=queue, uploads=uploads)
        await queue.start(studio.perform)
        yield
        for task in queue.tasks.values():
            task.cancel()
        for service in services.values():
            await service.aclose()

    app = FastAPI(lifespan=life)
    base = "/ai/tts/qwen"
    root = prefix + base

    @app.middleware("http")
    async def guard(request: Request, call):
        path = request.url.path.removeprefix(prefix)
        if key and path.startswith(("/ai", "/v1")):
            if request.headers.get("authorization") != f"Bearer {key}":
                return problem(401, "Unauthorized", "This needs an API key.", hint="Send one.")
        answer = await call(request)
        answer.headers["Content-Security-Policy"] = POLICY
        return answer

    @app.exception_handler(TTSError)
    async def failed(request, error):
        status = 422 if isinstance(error, InvalidRequest) else 503
        if isinstance(error, (JobNotFound, UnknownSpeaker)):
            status = 404
        return problem(
            status, type(error).__name__, error.message, hint=error.hint, retryable=error.retryable
        )

    @app.get(prefix + "/")
    async def index():
        return FileResponse(PAGE / "index.html")

    @app.get(prefix + "/page/{file}")
    async def asset(file: str):
        return FileResponse(PAGE / file)

    def terms(body):
        return Terms(
            owner="", priority=body.get("priority", 0), time_limit=body.get("time_limit")
        )

    def sampling(service, body):
        names = ("seed", "max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
        return service.config.generation.sampling(**{n: body.get(n) for n in names})

    def rendering(body):
        return Rendering(
            body.get("format", "wav"), float(body.get("speed", 1)), float(body.get("pitch", 0))
        )

    @app.post(root + "/generate")
    async def generate(request: Request):
        body, studio = await request.json(), app.state.studio
        service = studio.tts(body.get("backend"))
        asked = await service.request_for(
            body["text"],
            speaker=body.get("speaker"),
            language=body.get("language"),
            instruct=body.get("instruct", ""),
            checkpoint=body.get("checkpoint"),
            sampling=sampling(service, body),
        )
        job = await studio.order(body.get("backend"), asked, terms(body), rendering=rendering(body))
        return JSONResponse(told(job, root), 202)

    @app.post(root + "/clone")
    async def clone(request: Request):
        studio = app.state.studio
        form = await request.form()
        body = {k: v for k, v in form.items() if isinstance(v, str)}
        numbers = {"seed": int, "max_new_tokens": int, "top_k": int, "priority": int}
        for name in ("temperature", "top_p", "repetition_penalty", "time_limit"):
            numbers[name] = float
        for name, kind in numbers.items():
            if name in body:
                body[name] = kind(body[name])
        if "reference" in form:
            data = await form["reference"].read()
            reference_id = await studio.uploads.put("", data)
        else:
            reference_id = body["reference_id"]
            data = await studio.uploads.get("", reference_id)
        reference = ReferenceAudio.from_bytes(data, transcript=body.get("transcript"))
        service = studio.tts(body.get("backend"))
        asked = CloneRequest(
            body["text"],
            reference,
            x_vector_only=body.get("x_vector_only") == "true",
            language=body.get("language", "Auto"),
            sampling=sampling(service, body),
        )
        job = await studio.order(body.get("backend"), asked, terms(body), rendering=rendering(body))
        return JSONResponse(told(job, root), 202, headers={"Reference-Id": reference_id})

    @app.get(root + "/speakers")
    async def speakers(backend: str | None = None):
        service = app.state.studio.tts(backend)
        found = [
            {"name": s.name, "kind": "built-in", "description": s.description, "language": s.language}
            for s in await service.speakers()
        ]
        stored = await asyncio.to_thread(service.voices.entries)
        found += [
            {"name": e.name, "kind": e.kind, "description": "", "language": e.language or ""}
            for e in stored
        ]
        return {"backend": service.backend, "default": "Ryan", "speakers": found}

    @app.get(root + "/jobs")
    async def jobs(limit: int = 50):
        return {"jobs": [told(j, root) for j in await app.state.studio.queue.jobs("", limit=limit)]}

    @app.get(root + "/jobs/{job_id}")
    async def job(job_id: str):
        return told(await app.state.studio.queue.get("", job_id), root)

    @app.delete(root + "/jobs/{job_id}")
    async def cancel(job_id: str):
        return told(await app.state.studio.queue.cancel("", job_id), root)

    @app.get(root + "/jobs/{job_id}/events")
    async def events(job_id: str):
        async def stream():
            async for job in app.state.studio.queue.watch("", job_id):
                yield {"event": "job", "data": json.dumps(told(job, root))}

        return EventSourceResponse(stream())

    @app.get(root + "/jobs/{job_id}/audio")
    async def audio(job_id: str):
        found = await app.state.studio.queue.audio("", job_id)
        return Response(found.data, media_type=found.media_type)

    @app.get(root + "/status")
    async def status():
        studio = app.state.studio
        backends = []
        for name, service in studio.backends.items():
            seen = await service.status()
            backends.append(
                {
                    **vars(seen),
                    "name": name,
                    "details": dict(seen.details),
                    "problems": [vars(p) for p in seen.problems],
                    "capabilities": vars(service.capabilities),
                    "concurrency": 1,
                    "waiting": studio.capacities[name].waiting,
                }
            )
        states = [job.state.value for job in studio.queue.kept.values()]
        return {
            "version": "0.2.0",
            "usual": studio.usual,
            "backends": backends,
            "jobs": {"queued": states.count("queued"), "running": states.count("running")},
            "authentication": key is not None,
        }

    @app.post(prefix + "/v1/audio/voices")
    async def keep(
        audio_sample: UploadFile,
        name: str = Form(),
        consent: str = Form(),
        ref_text: str | None = Form(None),
    ):
        reference = ReferenceAudio.from_bytes(await audio_sample.read(), transcript=ref_text)
        voice = StoredVoice(name, consent=consent, reference=reference)
        await asyncio.to_thread(app.state.studio.tts().voices.add, voice)
        return {"success": True, "voice": {"name": voice.name}}

    @app.delete(prefix + "/v1/audio/voices/{name}")
    async def remove(name: str):
        await asyncio.to_thread(app.state.studio.tts().voices.remove, name)
        return {"success": True}

    return app
