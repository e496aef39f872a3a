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
    project: str = Field(default="", description="Name of the project, for a gradual rollout.")
    priority: Annotated[int, Field(ge=PRIORITIES[0], le=PRIORITIES[1])] = 0
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
    strip_markup: bool | None = Field(
        default=None,
        description="Remove Markdown, tags such as `[laugh]` and emoji; null: as configured.",
    )
    format: AudioFormat = "wav"
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
    language: str = "English"
    model_choice: Literal["0.6B", "1.7B"] | None = None


class ReferenceView(BaseModel):
    """An uploaded recording."""

    model_config = by_example(
        {"id": f"up_{'5e' * 24}", "duration": 6.4, "sample_rate": 24000, "warnings": []}
    )

    id: str
    duration: float = Field(description="In seconds.")
    sample_rate: int = Field(description="In Hz.")
    warnings: list[str] = Field(description="Possible problems for the quality of clones.")


class ProgressView(BaseModel):
    """Progress of a job."""

    stage: Stage
    fraction: float | None = None
    message: str = ""
    queue_position: int | None = None
    epoch: int | None = None
    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None


class Links(BaseModel):
    """Related URLs of a job, as paths on the server."""

    self: str
    events: str
    audio: str | None = None


class JobView(BaseModel):
    """Current state of a job."""

    model_config = by_example(_A_JOB)

    id: str
    kind: JobKind
    state: JobState
    backend: str
    text: str = Field(description="Text of the line; for training, of the validation samples.")
    speaker: str = ""
    priority: int
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    progress: ProgressView | None = None
    result: dict[str, Any] | None = Field(default=None, description="Details of the result.")
    problem: Problem | None = None
    links: Links

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


class JobList(BaseModel):
    """Jobs, newest first."""

    model_config = by_example({"jobs": [_A_JOB]})

    jobs: list[JobView]


class SpeakerView(BaseModel):
    """A voice that requests can use by name."""

    name: str
    kind: Literal["built-in", "clone", "checkpoint"]
    description: str = ""
    language: str = ""


class SpeakerList(BaseModel):
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
    default: str
    speakers: list[SpeakerView]


class CapabilitiesView(BaseModel):
    """Capabilities of a backend."""

    speech: bool
    cloning: bool
    training: bool
    checkpoints: bool
    instruct: bool
    seeds: bool
    streaming: bool
    parameters: list[str] | None = Field(
        default=None,
        description="Supported parameters of lines and training; null: not declared.",
    )

    @classmethod
    def of(cls, capabilities: Capabilities) -> CapabilitiesView:
        """Return the view of capabilities."""
        taken = capabilities.parameters
        return cls(**{**vars(capabilities), "parameters": None if taken is None else sorted(taken)})


class BackendProblem(BaseModel):
    """A problem that affects a backend."""

    message: str
    advice: str


class BackendView(BaseModel):
    """Current status of a backend."""

    name: str
    reachable: bool
    version: str
    device: str
    models: list[str]
    queue_length: int | None
    details: dict[str, str]
    problems: list[BackendProblem]
    capabilities: CapabilitiesView
    concurrency: int
    waiting: int


class JobCounts(BaseModel):
    """Number of jobs of all owners."""

    queued: int
    running: int


class StatusView(BaseModel):
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
    usual: str = Field(description="Default backend of requests.")
    backends: list[BackendView]
    jobs: JobCounts
    authentication: bool = Field(description="Whether requests need an API key.")


class Readiness(BaseModel):
    """Whether the service can generate speech."""

    model_config = by_example({"ready": True, "backends": {"comfyui": True, "draft": True}})

    ready: bool
    backends: dict[str, bool] = Field(description="Whether each backend can be reached.")
