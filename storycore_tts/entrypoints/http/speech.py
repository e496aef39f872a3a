"""Routes for speech, cloning, training and uploads of recordings."""

from __future__ import annotations

from contextlib import aclosing
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Form, Header, Request, Response

from storycore_tts.domain.jobs import Job, JobState
from storycore_tts.domain.presets import clone_preset, style_instruct, training_preset
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.stored_voices import voice_name
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.entrypoints.http import problems
from storycore_tts.entrypoints.http.answers import AUDIO, PREFIX, audio_answer, job_answer
from storycore_tts.entrypoints.http.disconnects import while_connected
from storycore_tts.entrypoints.http.documented import OF_BACKENDS, OF_RECORDINGS, documented
from storycore_tts.entrypoints.http.schemas import (
    CloneForm,
    Conditions,
    JobView,
    LineBody,
    ReferenceForm,
    ReferenceView,
    SpeechBody,
    TrainingBody,
)
from storycore_tts.entrypoints.http.security.keys import CurrentOwner, KeyedRoute
from storycore_tts.entrypoints.http.security.roots import folder_within
from storycore_tts.entrypoints.http.service import CurrentService, Service
from storycore_tts.errors import InvalidRequest
from storycore_tts.parameter_fields import given_in
from storycore_tts.services.speech_service import JobOptions

router = APIRouter(prefix=PREFIX, tags=["speech"], route_class=KeyedRoute)

references = APIRouter(prefix=PREFIX, tags=["speech"], route_class=KeyedRoute)

_LATER: dict[int | str, dict[str, Any]] = {
    202: {"model": JobView, "description": "The job was accepted and stored."}
}
_OF_SPEECH = documented(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    *OF_RECORDINGS,
    *OF_BACKENDS,
)

Prefer = Annotated[
    str | None, Header(description="`respond-async` requests a job instead of the audio.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A unique key for this request; a request with the same key is the same job.",
    ),
]


@router.post("/generate", response_class=Response, responses=AUDIO | _LATER | _OF_SPEECH)
async def generate(
    request: Request,
    body: SpeechBody,
    service: CurrentService,
    owner: CurrentOwner,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Generate speech; returns the sound file, or a job."""
    server = service.config.server
    checkpoint = body.checkpoint
    if checkpoint is not None:
        roots = [*server.checkpoint_roots, *filter(None, [server.training_dir])]
        checkpoint = await folder_within(checkpoint, roots, what="checkpoint")
    wanted = await service.speech.tts(body.backend).request_for(
        body.text,
        speaker=body.speaker,
        language=body.language,
        instruct=_instruct(body),
        checkpoint=checkpoint,
        sampling=service.sampling(body),
        project=body.project,
        purpose=body.purpose,
        strip_markup=body.strip_markup,
        owner=service.finder(owner),
    )
    terms = _terms(owner, body, idempotency_key)
    return await _respond(request, service, body, wanted, terms, prefer)


@router.post("/clone", response_class=Response, responses=AUDIO | _LATER | _OF_SPEECH)
async def clone(
    request: Request,
    form: Annotated[CloneForm, Form(media_type="multipart/form-data")],
    service: CurrentService,
    owner: CurrentOwner,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Generate speech in the voice of a recording, uploaded with the request or earlier."""
    reference, kept = await _reference(form, service, owner)
    tts = service.speech.tts(form.backend)
    wanted = CloneRequest(
        form.text,
        reference,
        x_vector_only=_x_vector_only(service, form),
        language=form.language or tts.defaults.language,
        sampling=service.sampling(form),
        project=form.project,
        instruct=form.instruct,
        consent=form.consent,
        purpose=form.purpose,
        strip_markup=tts.defaults.strip_markup if form.strip_markup is None else form.strip_markup,
    )
    terms = _terms(owner, form, idempotency_key)
    answer = await _respond(request, service, form, wanted, terms, prefer, reference=kept)
    if kept is not None:
        answer.headers["Reference-Id"] = kept
    return answer


@references.post(
    "/references",
    status_code=HTTPStatus.CREATED,
    response_description="Id and properties of the recording.",
    responses=_OF_SPEECH,
)
async def keep_reference(
    form: Annotated[ReferenceForm, Form(media_type="multipart/form-data")],
    service: CurrentService,
    owner: CurrentOwner,
) -> ReferenceView:
    """Upload a recording to clone; later requests refer to it by id."""
    recording = await service.recording(form.reference)
    return ReferenceView(
        id=await service.speech.keep(owner, recording),
        duration=round(recording.duration, 3),
        sample_rate=int(recording.sample_rate),
        warnings=list(recording.warnings()),
    )


@router.post(
    "/train",
    status_code=HTTPStatus.ACCEPTED,
    response_model=JobView,
    response_description="The job was accepted and stored.",
    responses=_OF_SPEECH,
)
async def train(
    request: Request,
    body: TrainingBody,
    service: CurrentService,
    owner: CurrentOwner,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Fine-tune a voice on a folder of recordings; always returns a job."""
    config = service.config
    if config.server.training_dir is None:
        raise InvalidRequest(
            "This service does not accept training requests.",
            hint="The operator of the service must set tts.qwen.server.training_dir and "
            "dataset_roots.",
        )
    wanted = TrainingRequest(
        dataset=await folder_within(body.dataset, config.server.dataset_roots, what="dataset"),
        output_dir=f"{config.server.training_dir}/{_new_name(owner, idempotency_key)}",
        speaker_name=voice_name(body.speaker_name),
        **_hyperparameters(service, body),
    )
    terms = _terms(owner, body, idempotency_key)
    job = await service.speech.submit(body.backend, wanted, terms)
    return job_answer(request, job, HTTPStatus.ACCEPTED)


def _terms(owner: str, body: Conditions, idempotency_key: str | None) -> JobOptions:
    return JobOptions(owner, body.priority, body.time_limit, idempotency_key)


def _instruct(body: SpeechBody) -> str:
    if body.style is None:
        return body.instruct
    if body.instruct:
        raise InvalidRequest("Give instruct or style, not both.")
    return style_instruct(body.style)


def _x_vector_only(service: Service, form: CloneForm) -> bool:
    if form.preset is None:
        return form.x_vector_only
    preset, size = clone_preset(form.preset), service.config.model_choice
    if preset.model_choice != size:
        raise InvalidRequest(
            f"The preset {form.preset!r} requires the {preset.model_choice} model, but this "
            f"service uses {size}.",
            hint="Omit the preset and set x_vector_only.",
        )
    return preset.x_vector_only or form.x_vector_only


def _hyperparameters(service: Service, body: TrainingBody) -> dict[str, Any]:
    """Return the configured hyper-parameters, overridden by the preset and the request."""
    said = body.model_dump(include={"test_text", "model_choice"}, exclude_none=True)
    given = said | given_in(body, TrainingParameters)
    usual = {"model_choice": service.config.model_choice, **service.config.training.model_dump()}
    if body.preset is not None:
        usual = training_preset(body.preset).over(usual)
    return {**usual, **given, "language": body.language, "project": body.project}


def _new_name(owner: str, idempotency_key: str | None) -> str:
    """Return a folder name: a new one, or the same one for the same idempotency key."""
    if idempotency_key is None:
        return uuid4().hex
    return sha256(f"{owner}\0{idempotency_key}".encode()).hexdigest()[:32]


async def _reference(
    form: CloneForm, service: Service, owner: str
) -> tuple[ReferenceAudio, str | None]:
    """Return the recording and its id, if it is stored."""
    if (form.reference is None) == (form.reference_id is None):
        raise InvalidRequest(
            "A clone needs one recording.", hint="Send either reference (a file) or reference_id."
        )
    if form.reference is not None:
        recording = await service.recording(form.reference, transcript=form.transcript)
        keep = service.keeps_recordings
        return recording, await service.speech.keep(owner, recording) if keep else None
    assert form.reference_id is not None
    kept = await service.speech.kept(owner, form.reference_id, transcript=form.transcript)
    return kept, form.reference_id


async def _respond(
    request: Request,
    service: Service,
    line: LineBody,
    wanted: SpeechRequest | CloneRequest,
    terms: JobOptions,
    prefer: str | None,
    *,
    reference: str | None = None,
) -> Response:
    """Respond with a job if ``Prefer`` says so, otherwise with the audio."""
    rendering = line.rendering(service.finder(terms.owner))
    later = prefer is not None and "respond-async" in prefer.lower()
    # With an idempotency key a job is used in any case, so that the client can retry.
    if not later and terms.idempotency_key is None:
        spoken = service.speech.speak(line.backend, wanted, rendering, time_limit=terms.time_limit)
        outcome = await while_connected(request, spoken)
        return audio_answer(outcome.audio, outcome.media_type, outcome.facts)
    job = await service.speech.submit(
        line.backend, wanted, terms, rendering=rendering, reference=reference
    )
    if not later:
        return await while_connected(request, _audio_of(service, job))
    answer = job_answer(request, job, HTTPStatus.ACCEPTED)
    answer.headers["Preference-Applied"] = "respond-async"
    return answer


async def _audio_of(service: Service, job: Job) -> Response:
    """Wait until a job has ended, and respond with its audio."""
    owner, queue = job.spec.owner, await service.speech.queue()
    async with aclosing(queue.watch(owner, job.id)) as changes:  # type: ignore[type-var]
        async for seen in changes:
            job = seen
    if job.state is JobState.SUCCEEDED:
        audio = await queue.audio(owner, job.id)
        return audio_answer(audio.data, audio.media_type, job.facts)
    another = "The Idempotency-Key belongs to this job; use a new key to try again."
    if job.failure is not None:
        problem = problems.problem_of_failure(job.failure)
        problem.hint = f"{problem.hint or ''} {another}".strip()
        return problems.response(problem, problems.pause(problem))
    raise problems.Refused(HTTPStatus.CONFLICT, "The job was cancelled.", hint=another)
