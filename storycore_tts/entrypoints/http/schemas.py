"""What requests and answers look like; OpenAPI is made from these."""

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
    """Show examples of a model in OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


def as_left_out(body: Any, other_names: Mapping[str, str]) -> Any:
    """Return a body without its fields that are null, and with our names for others.

    Args:
        body: As it was sent; what is no object stays as it is.
        other_names: Name in other services -> ours, which goes first.
    """
    if not isinstance(body, dict):
        return body
    given = {name: value for name, value in body.items() if value is not None}
    for other, ours in other_names.items():
        if other in given:
            given = {ours: given.pop(other), **given}
    return given


class Conditions(BaseModel):
    """On which terms a request is done."""

    model_config = ConfigDict(extra="forbid")

    backend: str | None = Field(
        default=None, description="Who does it; see /status for those offered."
    )
    project: str = Field(default="", description="Whose line this is, for a gradual rollout.")
    priority: Annotated[int, Field(ge=PRIORITIES[0], le=PRIORITIES[1])] = 0
    time_limit: Annotated[float, Field(ge=0.1, le=31_536_000)] | None = Field(
        default=None, description="Seconds of work at most, for a job."
    )


@with_parameters(SamplingParameters, given=True)
class Line(Conditions):
    """A line to speak, in whatever voice."""

    text: str = Field(description="What to say.", examples=[_A_LINE])
    language: str | None = Field(
        default=None, description="Name, code or locale; null: as configured."
    )
    strip_markup: bool | None = Field(
        default=None,
        description="Leave Markdown, tags such as `[laugh]` and emoji out; null: as configured.",
    )
    format: AudioFormat = "wav"
    speed: Annotated[float, Field(ge=0.25, le=4)] = Field(
        default=1.0, description="The pitch stays."
    )
    pitch: Annotated[float, Field(ge=-12, le=12)] = Field(default=0.0, description="Semitones.")

    @property
    def rendering(self) -> Rendering:
        """What becomes of the speech."""
        return Rendering(self.format, self.speed, self.pitch)


class SpeechBody(Line):
    """A line for a built-in voice, a stored one, or a fine-tuned checkpoint."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"text": _A_LINE, "speaker": "Serena", "language": "English"}]
        },
    )

    speaker: str | None = Field(
        default=None, description="A built-in or stored voice, in any case."
    )
    instruct: str = Field(default="", description="How to say it, in words.")
    style: Style | None = Field(default=None, description="How to say it, by name.")
    checkpoint: str | None = Field(
        default=None, description="A fine-tuned checkpoint below one of the configured folders."
    )


class CloneForm(Line):
    """A line in the voice of a recording."""

    transcript: str | None = Field(
        default=None, description="What is said in the recording. Also as ref_text."
    )
    x_vector_only: bool = Field(
        default=False, description="Take the timbre only; needs no transcript."
    )
    instruct: str = Field(
        default="", description="How to say it, in words, where the backend's clones listen."
    )
    preset: ClonePresetName | None = Field(
        default=None, description="Whether the timbre only; for a model of this service's size."
    )
    reference: UploadFile | None = Field(
        default=None, description="The recording, 3 to 15 s of speech."
    )
    reference_id: str | None = Field(
        default=None, description="The id of a recording sent earlier."
    )

    @model_validator(mode="before")
    @classmethod
    def _takes_ref_text(cls, form: Any) -> Any:
        return as_left_out(form, {"ref_text": "transcript"})


class ReferenceForm(BaseModel):
    """A recording to clone later."""

    model_config = ConfigDict(extra="forbid")

    reference: UploadFile = Field(description="The recording, 3 to 15 s of speech.")


@with_parameters(TrainingParameters, given=True)
class TrainingBody(Conditions):
    """A voice to train."""

    dataset: str = Field(description="A folder of recordings and texts below a configured one.")
    speaker_name: str = Field(description="The new voice's name.", examples=["my_hero"])
    test_text: str | None = Field(default=None, description="What the validation samples say.")
    preset: TrainingPresetName | None = Field(
        default=None, description="Size, epochs and learning rate by name; what is given wins."
    )
    language: str = "English"
    model_choice: Literal["0.6B", "1.7B"] | None = None


class ReferenceView(BaseModel):
    """A recording that was taken."""

    model_config = by_example(
        {"id": f"up_{'5e' * 24}", "duration": 6.4, "sample_rate": 24000, "warnings": []}
    )

    id: str
    duration: float = Field(description="Seconds.")
    sample_rate: int = Field(description="Hz.")
    warnings: list[str] = Field(description="What is likely to spoil a clone of it.")


class ProgressView(BaseModel):
    """How far a job is."""

    stage: Stage
    fraction: float | None = None
    message: str = ""
    queue_position: int | None = None
    epoch: int | None = None
    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None


class Links(BaseModel):
    """Where more of a job is, below the server's root."""

    self: str
    events: str
    audio: str | None = None


class JobView(BaseModel):
    """A job as it stands."""

    model_config = by_example(_A_JOB)

    id: str
    kind: JobKind
    state: JobState
    backend: str
    text: str = Field(description="What it says; of a training, what its samples say.")
    speaker: str = ""
    priority: int
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    progress: ProgressView | None = None
    result: dict[str, Any] | None = Field(default=None, description="What is told of what it made.")
    problem: Problem | None = None
    links: Links

    @classmethod
    def of(cls, job: Job, base: str) -> JobView:
        """Show a job.

        Args:
            job: As the queue returns it.
            base: Path of the list of jobs.
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
    """Jobs, the youngest first."""

    model_config = by_example({"jobs": [_A_JOB]})

    jobs: list[JobView]


class SpeakerView(BaseModel):
    """A voice that can be asked for by name."""

    name: str
    kind: Literal["built-in", "clone", "checkpoint"]
    description: str = ""
    language: str = ""


class SpeakerList(BaseModel):
    """The voices of a backend, and those that are stored."""

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
    """What a backend can do."""

    speech: bool
    cloning: bool
    training: bool
    checkpoints: bool
    instruct: bool
    seeds: bool
    streaming: bool
    parameters: list[str] | None = Field(
        default=None,
        description="The parameters of a line and of a training that it takes; null: not declared.",
    )

    @classmethod
    def of(cls, capabilities: Capabilities) -> CapabilitiesView:
        """Show capabilities."""
        taken = capabilities.parameters
        return cls(**{**vars(capabilities), "parameters": None if taken is None else sorted(taken)})


class BackendProblem(BaseModel):
    """What keeps a backend from working."""

    message: str
    advice: str


class BackendView(BaseModel):
    """How a backend is right now."""

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
    """How many jobs there are, everybody's."""

    queued: int
    running: int


class StatusView(BaseModel):
    """How the service is right now."""

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
    usual: str = Field(description="The backend that does what names none.")
    backends: list[BackendView]
    jobs: JobCounts
    authentication: bool = Field(description="Whether requests need a key.")


class Readiness(BaseModel):
    """Whether there is somebody to speak."""

    model_config = by_example({"ready": True, "backends": {"comfyui": True, "draft": True}})

    ready: bool
    backends: dict[str, bool] = Field(description="Whether each backend can be reached.")
