"""Schemas of requests and responses, the source of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, model_validator

from storycore_tts.domain.jobs import PRIORITIES, Job, JobKind, JobState
from storycore_tts.domain.progress import Stage
from storycore_tts.domain.sampling import SamplingParameters
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.entrypoints.http.problems import Problem, problem_of_failure
from storycore_tts.parameter_fields import with_parameters
from storycore_tts.ports import Capabilities
from storycore_tts.services.rendering import Rendering

AudioFormat = Literal["wav", "flac", "mp3", "ogg", "opus", "aac", "pcm"]

Style = Literal[
    "warm_friendly",
    "professional",
    "excited",
    "calm",
    "dramatic",
    "storytelling",
    "news_anchor",
]
ClonePresetName = Literal["fast", "balanced", "quality"]
TrainingPresetName = Literal["quick", "standard", "quality", "low_vram"]

_A_LINE = "Once upon a time, a small robot learned to sing."
_A_JOB = {
    "id": "3f2b8c1e-9d4a-4c67-8a51-6e0d9b7f2c34",
    "kind": "speech",
    "state": "succeeded",
    "backend": "comfyui",
    "text": _A_LINE,
    "speaker": "Serena",
    "priority": 0,
    "created": "2026-03-02T09:30:00.120000Z",
    "started": "2026-03-02T09:30:00.310000Z",
    "ended": "2026-03-02T09:30:04.870000Z",
    "progress": {"stage": "downloading", "fraction": 1.0, "message": ""},
    "result": {"duration": 3.12, "sample_rate": 24000, "seed": 7, "warnings": []},
    "problem": None,
    "links": {
        "self": "/ai/tts/qwen/jobs/3f2b8c1e-9d4a-4c67-8a51-6e0d9b7f2c34",
        "events": "/ai/tts/qwen/jobs/3f2b8c1e-9d4a-4c67-8a51-6e0d9b7f2c34/events",
        "audio": "/ai/tts/qwen/jobs/3f2b8c1e-9d4a-4c67-8a51-6e0d9b7f2c34/audio",
    },
}


class View(BaseModel):
    """A part of a response; the docstrings of its attributes are their descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True)


def by_example(*examples: dict[str, Any]) -> ConfigDict:
    """Return a model configuration with examples for OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


def as_left_out(body: Any, other_names: Mapping[str, str]) -> Any:
    """Remove the null fields of a body, and rename fields of other services to ours.

    Args:
        body: The request body; anything but an object is returned unchanged.
        other_names: Name in other services -> ours, which takes precedence.
    """
    if not isinstance(body, dict):
        return body
    given = {name: value for name, value in body.items() if value is not None}
    for other, ours in other_names.items():
        if other in given:
            given = {ours: given.pop(other), **given}
    return given


class Conditions(BaseModel):
    """Options common to all requests."""

    model_config = ConfigDict(extra="forbid")

    backend: str | None = Field(
        default=None, description="Backend to use; see /status for those available."
    )
    project: str = Field(
        default="",
        description="Name of the project, for a gradual rollout, and for voices that may be used "
        "for certain projects only.",
    )
    priority: Annotated[int, Field(ge=PRIORITIES[0], le=PRIORITIES[1])] = Field(
        default=0, description="Jobs with higher priority run first."
    )
    time_limit: Annotated[float, Field(ge=0.1, le=31_536_000)] | None = Field(
        default=None, description="Time limit of a job, in seconds."
    )


@with_parameters(SamplingParameters, given=True)
class LineBody(Conditions):
    """A line to speak."""

    text: str = Field(description="Text to speak.", examples=[_A_LINE])
    language: str | None = Field(
        default=None, description="Name, code or locale; null: as configured."
    )
    purpose: str = Field(
        default="",
        description="What the line is for; some voices may be used for certain purposes only.",
    )
    strip_markup: bool | None = Field(
        default=None,
        description="Remove Markdown, tags such as `[laugh]` and emoji; null: as configured.",
    )
    format: AudioFormat = Field(default="wav", description="Format of the sound file.")
    speed: Annotated[float, Field(ge=0.25, le=4)] = Field(
        default=1.0, description="Speed factor, at the same pitch."
    )
    pitch: Annotated[float, Field(ge=-12, le=12)] = Field(default=0.0, description="In semitones.")

    @property
    def rendering(self) -> Rendering:
        """Format, speed and pitch of the speech."""
        return Rendering(self.format, self.speed, self.pitch)


class SpeechBody(LineBody):
    """A line for a built-in, stored or fine-tuned voice."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"text": _A_LINE, "speaker": "Serena", "language": "English"}]
        },
    )

    speaker: str | None = Field(
        default=None, description="A built-in or stored voice, in any case."
    )
    instruct: str = Field(default="", description="Style instruction in natural language.")
    style: Style | None = Field(default=None, description="Style by name.")
    checkpoint: str | None = Field(
        default=None, description="A fine-tuned checkpoint below one of the configured folders."
    )


class CloneForm(LineBody):
    """A line for a voice cloned from a recording."""

    transcript: str | None = Field(
        default=None, description="Transcript of the recording; also accepted as ref_text."
    )
    x_vector_only: bool = Field(
        default=False, description="Clone the timbre only; needs no transcript."
    )
    instruct: str = Field(
        default="", description="Style instruction; not all backends support it for clones."
    )
    consent: str = Field(
        default="",
        description="Who agreed to the use of the recording, and when, in words.",
    )
    preset: ClonePresetName | None = Field(
        default=None, description="Sets x_vector_only; must fit the model size of this service."
    )
    reference: UploadFile | None = Field(
        default=None, description="The recording, 3 to 15 s of speech."
    )
    reference_id: str | None = Field(
        default=None, description="Id of a recording uploaded earlier."
    )

    @model_validator(mode="before")
    @classmethod
    def _takes_ref_text(cls, form: Any) -> Any:
        return as_left_out(form, {"ref_text": "transcript"})


class ReferenceForm(BaseModel):
    """A recording to upload for later cloning."""

    model_config = ConfigDict(extra="forbid")

    reference: UploadFile = Field(description="The recording, 3 to 15 s of speech.")


@with_parameters(TrainingParameters, given=True)
class TrainingBody(Conditions):
    """A training request."""

    dataset: str = Field(description="Folder of recordings and transcripts below a configured one.")
    speaker_name: str = Field(description="Name of the new voice.", examples=["my_hero"])
    test_text: str | None = Field(default=None, description="Text of the validation samples.")
    preset: TrainingPresetName | None = Field(
        default=None, description="Sets size, epochs and learning rate; explicit values win."
    )
    language: str = Field(default="English", description="Language of the recordings.")
    model_choice: Literal["0.6B", "1.7B"] | None = Field(
        default=None, description="Size of the model; null: that of the preset or the settings."
    )


class ReferenceView(View):
    """An uploaded recording."""

    model_config = by_example(
        {"id": f"up_{'5e' * 24}", "duration": 6.4, "sample_rate": 24000, "warnings": []}
    )

    id: str
    """Id for `reference_id`."""
    duration: float = Field(description="In seconds.")
    sample_rate: int = Field(description="In Hz.")
    warnings: list[str] = Field(description="Possible problems for the quality of clones.")


class ProgressView(View):
    """Progress of a job."""

    stage: Stage
    """What the backend is doing."""
    fraction: float | None = None
    """Share of the stage that is done, 0..1; null if unknown."""
    message: str = ""
    """Further details in words."""
    queue_position: int | None = None
    """Number of jobs ahead in the queue of the backend."""
    epoch: int | None = None
    """Epoch of a training, from 1."""
    step: int | None = None
    """Step of a training."""
    total_steps: int | None = None
    """Number of steps of a training."""
    loss: float | None = None
    """Loss of the last step."""


class Links(View):
    """Related URLs of a job, as paths on the server."""

    self: str
    """The job."""
    events: str
    """Its server-sent events."""
    audio: str | None = None
    """Its sound file; null until there is one."""


class JobView(View):
    """Current state of a job."""

    model_config = by_example(_A_JOB)

    id: str
    """Id of the job."""
    kind: JobKind
    """Kind of the job."""
    state: JobState
    """State of the job; the last three are final."""
    backend: str
    """Backend of the job."""
    text: str = Field(description="Text of the line; for training, of the validation samples.")
    speaker: str = ""
    """Voice of the line, or name of the trained voice; empty for a clone."""
    priority: int
    """Jobs with higher priority run first."""
    created: datetime
    """When it was accepted."""
    started: datetime | None = None
    """When it started; null while it waits."""
    ended: datetime | None = None
    """When it ended; null before."""
    progress: ProgressView | None = None
    """Latest progress; null before the first."""
    result: dict[str, Any] | None = Field(default=None, description="Details of the result.")
    problem: Problem | None = None
    """Why it failed; null if it did not."""
    links: Links
    """Related URLs."""

    @classmethod
    def of(cls, job: Job, base: str) -> JobView:
        """Return the view of a job.

        Args:
            job: The job.
            base: URL path of the list of jobs.
        """
        request = job.spec.details["request"]
        place = f"{base}/{job.id}"
        return cls(
            id=job.id,
            kind=job.spec.kind,
            state=job.state,
            backend=job.spec.backend,
            text=request.get("text") or request.get("test_text", ""),
            speaker=request.get("speaker") or request.get("speaker_name", ""),
            priority=job.spec.priority,
            created=job.created,
            started=job.started,
            ended=job.ended,
            progress=None if job.progress is None else ProgressView(**vars(job.progress)),
            result=dict(job.facts) or None,
            problem=None if job.failure is None else problem_of_failure(job.failure),
            links=Links(
                self=place,
                events=f"{place}/events",
                audio=f"{place}/audio" if job.media_type else None,
            ),
        )


class JobList(View):
    """Jobs, newest first."""

    model_config = by_example({"jobs": [_A_JOB]})

    jobs: list[JobView]
    """The jobs."""


class SpeakerView(View):
    """A voice that requests can use by name."""

    name: str
    """Name of the voice, in the spelling of the backend."""
    kind: Literal["built-in", "clone", "checkpoint"]
    """Built in, or stored as a recording or checkpoint."""
    description: str = ""
    """The voice in words; empty if unknown."""
    language: str = ""
    """Its native or default language; empty if there is none."""


class SpeakerList(View):
    """The voices of a backend, and the stored voices."""

    model_config = by_example(
        {
            "backend": "comfyui",
            "default": "Ryan",
            "speakers": [
                {
                    "name": "Ryan",
                    "kind": "built-in",
                    "description": "dynamic man with a strong rhythm",
                    "language": "English",
                },
                {"name": "Mia", "kind": "clone", "description": "", "language": "German"},
            ],
        }
    )

    backend: str
    """The backend."""
    default: str
    """The default voice."""
    speakers: list[SpeakerView]
    """The voices."""


class CapabilitiesView(View):
    """Capabilities of a backend."""

    speech: bool
    """Whether it speaks with built-in voices."""
    cloning: bool
    """Whether it clones voices."""
    training: bool
    """Whether it trains voices."""
    checkpoints: bool
    """Whether it supports fine-tuned checkpoints."""
    instruct: bool
    """Whether style instructions have an effect."""
    seeds: bool
    """Whether the same seed gives the same audio."""
    streaming: bool
    """Whether it streams speech while it generates."""
    parameters: list[str] | None = Field(
        default=None,
        description="Supported parameters of lines and training; null: not declared.",
    )

    @classmethod
    def of(cls, capabilities: Capabilities) -> CapabilitiesView:
        """Return the view of capabilities."""
        taken = capabilities.parameters
        return cls(**{**vars(capabilities), "parameters": None if taken is None else sorted(taken)})


class BackendProblem(View):
    """A problem that affects a backend."""

    message: str
    """What is wrong."""
    advice: str
    """What to do about it."""


class BackendView(View):
    """Current status of a backend."""

    name: str
    """Name of the backend."""
    reachable: bool
    """Whether it answers and accepts requests."""
    version: str
    """Version of the server or library; empty if unknown."""
    device: str
    """The compute device; empty if unknown."""
    models: list[str]
    """Models that it would use."""
    queue_length: int | None
    """Jobs of all clients, queued and running; null if it has no queue."""
    details: dict[str, str]
    """Further information, by name."""
    problems: list[BackendProblem]
    """Problems found, with advice."""
    capabilities: CapabilitiesView
    """What it supports."""
    concurrency: int
    """Requests that this service sends to it at the same time."""
    waiting: int
    """Requests that wait for it."""


class JobCounts(View):
    """Number of jobs of all owners."""

    queued: int
    """Jobs that wait."""
    running: int
    """Jobs that run."""


class StatusView(View):
    """Current status of the service."""

    model_config = by_example(
        {
            "version": "1.0.0",
            "usual": "comfyui",
            "backends": [
                {
                    "name": "comfyui",
                    "reachable": True,
                    "version": "0.3.64",
                    "device": "cuda:0 NVIDIA GeForce RTX 4090",
                    "models": ["1.7B", "0.6B"],
                    "queue_length": 0,
                    "details": {},
                    "problems": [],
                    "capabilities": {
                        "speech": True,
                        "cloning": True,
                        "training": True,
                        "checkpoints": True,
                        "instruct": True,
                        "seeds": True,
                        "streaming": False,
                        "parameters": ["seed", "temperature", "top_p"],
                    },
                    "concurrency": 4,
                    "waiting": 0,
                }
            ],
            "jobs": {"queued": 2, "running": 1},
            "authentication": False,
        }
    )

    version: str
    """Version of the service."""
    usual: str = Field(description="Default backend of requests.")
    backends: list[BackendView]
    """The backends."""
    jobs: JobCounts
    """Jobs of all owners, by state."""
    authentication: bool = Field(description="Whether requests need an API key.")


class Readiness(View):
    """Whether the service can generate speech."""

    model_config = by_example({"ready": True, "backends": {"comfyui": True, "draft": True}})

    ready: bool
    """Whether any backend and the job database are available."""
    backends: dict[str, bool] = Field(description="Whether each backend can be reached.")
