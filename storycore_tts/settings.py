"""Settings: the ``tts.qwen`` block of YAML, overridden by files and then by the environment.

Everything is refused before anything starts: unknown keys, wrong types, impossible values. The
refusal names the file, the key, the value and what would be allowed.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from storycore_tts.domain.errors import (
    ConfigurationError,
    UnsupportedLanguage,
    did_you_mean,
    shown,
)
from storycore_tts.domain.languages import language_named
from storycore_tts.domain.sampling import MAX_SEED, Sampling

ADAPTER_GROUP = "storycore_tts.adapters"
ENVIRONMENT_PREFIX = "STORYCORE_TTS_"
CONFIG_VARIABLE = "STORYCORE_TTS_CONFIG"
# Variables of ours that are no settings: where the file is, and what tests run against and with.
_NOT_SETTINGS = (
    CONFIG_VARIABLE,
    "STORYCORE_TTS_LIVE_COMFYUI_URL",
    "STORYCORE_TTS_LIVE_MODEL_DIR",
    "STORYCORE_TTS_FAULT_SEED",
)
_MOST_LEAVES = 1000  # values in one file; an alias in YAML can stand for any number of them
_LONGEST_URL = 2000
_DEEPEST = 3  # parts of a key, as in comfyui.timeouts.idle
_USUAL_FILES = (
    "storycore-tts.yaml",
    "config/storycore-tts.yaml",
    "data/storycore-tts.yaml",  # StoryCore-Engine's container has data/, and no config/
    "config/default.yaml",
)

_SECRETS = ("headers", "api_keys", "database_url")  # their values are in no message
PATH_PREFIX = r"^((/[A-Za-z0-9~_-][A-Za-z0-9.~_-]*)+)?$"
"""A prefix of paths: none, or segments that no proxy reads in two ways."""
_ORIGIN = re.compile(r"\*|[a-z]+-extension://\*|[a-z][a-z0-9+.-]*://[^\s/?#@*]+")
_USER_AND_PASSWORD = re.compile(r"(?<=//)[^/]*@")

Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]


def adapter_names() -> list[str]:
    """Return the names that ``tts.qwen.backend`` may take: the adapters that are installed."""
    return sorted({point.name for point in entry_points(group=ADAPTER_GROUP)})


class _Block(BaseModel):
    """A block of settings: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    def __init__(self, /, **values: Any) -> None:  # "self" may be a key, and is then refused
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(type(self), error) from None


class QwenTTSModelConfig(_Block):
    """Which model speaks, and on what."""

    model_choice: Literal["0.6B", "1.7B"] = "1.7B"
    """Size of the model; the small one needs less memory and does not listen to ``instruct``."""
    device: str = "cuda"
    """Where it runs, with ComfyUI on the server: auto, cuda, cuda:1 (by number), mps, xpu, cpu."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of its weights; fp32 needs twice the memory."""
    attention: Literal["auto", "sdpa", "flash_attn", "sage_attn", "eager"] = "auto"
    """The kernel that computes attention; another one than auto must be installed."""
    unload_model_after_generate: bool = False
    """Give the GPU's memory back after every job; the next one loads the model again."""

    @field_validator("device")
    @classmethod
    def _device_is_named(cls, value: str) -> str:
        if re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d{1,3})?", value) is None:
            raise ValueError("one of auto, cuda, cuda:N, mps, xpu, cpu")
        return value


class QwenTTSGenerationConfig(_Block):
    """How the model draws its tokens, unless a request says otherwise."""

    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = 2048
    """Longest audio in tokens; 12.5 of them are one second."""
    top_p: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Nucleus."""
    top_k: Annotated[int, Field(ge=0, le=1000)] = 20
    """Candidates; 0 for all of them."""
    temperature: Annotated[float, Field(ge=0.01, le=5)] = 1.0
    """The higher, the less alike are two readings of a line."""
    repetition_penalty: Annotated[float, Field(ge=0.5, le=5)] = 1.05
    """1 is none."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    """None: a fresh one for each line, which the result records."""

    def sampling(self, **overrides: Any) -> Sampling:
        """Return these values as a request takes them; overrides that are None change nothing."""
        given = {name: value for name, value in overrides.items() if value is not None}
        return Sampling(**{**self.model_dump(), **given})


class QwenTTSTrainingConfig(_Block):
    """How a voice is trained, unless a request says otherwise."""

    learning_rate: Annotated[float, Field(ge=1e-7, le=1e-3)] = 2e-5
    """Size of the optimiser's steps."""
    num_epochs: Annotated[int, Field(ge=1, le=100)] = 10
    """Rounds over the dataset."""
    batch_size: Annotated[int, Field(ge=1, le=8)] = 1
    """Recordings a step."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=64)] = 4
    """Steps a weight update."""
    validate_every: Annotated[int, Field(ge=1, le=10)] = 2
    """Epochs between validation samples."""


class ComfyUITimeouts(_Block):
    """How long each wait for a ComfyUI server may be, in seconds."""

    connect: Seconds = 5.0
    """To reach the server."""
    request: Seconds = 30.0
    """For one answer."""
    queue: Seconds = 3600.0
    """Behind other jobs."""
    idle: Seconds = 900.0
    """Running, without any sign of life; loading a model for the first time gives none."""
    job: Seconds = 3600.0
    """A whole job, from submission to result."""
    training: Seconds = 172_800.0
    """A whole training."""
    away: Seconds = 120.0
    """With a job under way, for a server that went away to come back; a restart takes a
    minute on a busy machine."""
    cancel: Seconds = 5.0
    """To tell the server that we are leaving."""


class ComfyUIConfig(_Block):
    """How to talk to the ComfyUI server."""

    headers: dict[str, str] = {}
    """Sent with every request and with the WebSocket's handshake, to this server only."""
    verify_tls: bool | str = True
    """False accepts any certificate; a string is the path of a CA bundle."""
    timeouts: ComfyUITimeouts = ComfyUITimeouts()


class DraftConfig(_Block):
    """How the draft voices speak."""

    words_per_minute: Annotated[int, Field(ge=80, le=450)] = 165
    """Pace."""


class DirectConfig(_Block):
    """How the model runs in this process."""

    models: dict[
        Literal["1.7B-CustomVoice", "1.7B-Base", "0.6B-CustomVoice", "0.6B-Base"],
        Annotated[str, Field(min_length=1)],
    ] = {}
    """Where a model is: a folder on this machine, or a repository on the Hugging Face Hub. One
    that is not named here is ``Qwen/Qwen3-TTS-12Hz-{size}-{kind}`` on the Hub."""
    max_loaded_models: Annotated[int, Field(ge=1, le=64)] = 1
    """The one that was used least recently makes room for the next."""
    idle_unload_seconds: Seconds | None = 300.0
    """A model that nobody used for so long gives its memory back; None: never."""
    max_batch_size: Annotated[int, Field(ge=1, le=256)] = 16
    """Lines that are spoken at once; the memory that a line needs grows with its length."""
    batch_window_ms: Annotated[float, Field(ge=0, le=1000)] = 10.0
    """How long a line waits for others to share its batch, in milliseconds."""
    first_chunk_frames: Annotated[int, Field(ge=1, le=250)] = 4
    """Codec frames in a stream's first chunk; 12.5 frames are one second."""
    chunk_frames: Annotated[int, Field(ge=1, le=250)] = 12
    """Codec frames in its other chunks."""
    clone_cache_megabytes: Annotated[float, Field(ge=0, le=65_536)] = 64.0
    """What references that were prepared for cloning may occupy; 0 keeps none."""


class RetryConfig(_Block):
    """How often a request is tried on one backend, and how long the pauses are."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Tries of one request on one backend, the first among them."""
    initial_seconds: Seconds = 1.0
    """The first pause; each one after it is twice as long. What is waited is drawn at random from
    half of that to all of it, so that many who wait do not come back at once."""
    longest_seconds: Seconds = 8.0
    """No pause of ours is longer."""
    longest_retry_after: Seconds = 30.0
    """A server that asks for a longer pause than this is not waited for."""


class BreakerConfig(_Block):
    """When a backend counts as down, so that requests go to the fallback at once."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """So many failed tries in a row, anybody's, and nobody else tries."""
    probe_seconds: Seconds = 5.0
    """How often a backend that is down is looked at, in the background."""


class ServerConfig(_Block):
    """How the service listens, whom it lets in, and what it keeps."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; another one than this machine's own needs ``api_keys``."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8600
    """0 takes any that is free."""
    backends: list[str] = []
    """Adapters that requests may name besides ``backend``, such as ``draft``."""
    api_keys: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        default={}, repr=False
    )
    """Name of each key's owner -> the key's SHA-256; ``storycore-tts keys new`` makes them."""
    allowed_hosts: list[str] = []
    """Names under which the service is asked for, besides ``localhost`` and the address."""
    allowed_origins: list[str] = []
    """Web pages of other origins that may use the service, such as ``https://editor.example``,
    ``app://obsidian.md``, or ``moz-extension://*`` for any extension of that browser. ``*`` is any
    page, and needs ``api_keys``."""
    open_lists: bool = False
    """Lists of voices and models under ``/v1`` need no key: some clients send none to them."""
    root_path: Annotated[str, Field(pattern=PATH_PREFIX)] = ""
    """The prefix under which a reverse proxy offers the service, such as ``/tts``."""
    trusted_proxies: list[str] = []
    """Addresses or networks of proxies whose ``X-Forwarded-Prefix`` is taken for ``root_path``."""
    database_url: str | None = Field(default=None, repr=False)
    """Where jobs are kept, ``postgresql://…``; processes that share it share the work. None: a file
    in ``state_dir``."""
    state_dir: Annotated[str, Field(min_length=1)] | None = None
    """None: ``service`` in this program's folder of user data."""
    concurrency: dict[str, Annotated[int, Field(ge=1, le=1000)]] = {}
    """Requests that one process does at a time, for each backend; the others wait. A backend that
    is not named does 16 if it is direct, which batches them, and 4 otherwise."""
    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Requests that may wait for their turn in one process; more are refused."""
    max_queued: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Jobs that may wait in the database, of all processes that share it; more are refused."""
    job_seconds: Seconds = 3600.0
    """How long a job may take from its start, unless it asks for less."""
    training_seconds: Seconds = 172_800.0
    """How long a training may take."""
    retention_hours: Annotated[float, Field(gt=0, le=87_600)] = 168.0
    """How long jobs that have ended, and uploads, are kept."""
    max_upload_megabytes: Annotated[float, Field(gt=0, le=1024)] = 25.0
    """The largest recording that may be sent."""
    max_upload_seconds: Annotated[float, Field(gt=0, le=600)] = 120.0
    """The longest recording that may be sent."""
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = 600
    """Requests that one key may make in a minute; None: any number."""
    checkpoint_roots: list[str] = []
    """Folders whose fine-tuned checkpoints requests may name, as the backend sees them."""
    dataset_roots: list[str] = []
    """Folders whose training data requests may name, as the backend sees them."""
    training_dir: Annotated[str, Field(min_length=1)] | None = None
    """Where trained voices are written, as the backend sees it; None: no training by request."""

    @field_validator("allowed_origins")
    @classmethod
    def _origins_are_some(cls, value: list[str]) -> list[str]:
        for origin in value:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    "*, an origin as browsers send it, such as https://editor.example without any "
                    "path, or chrome-extension://* and its like"
                )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_addresses(cls, value: list[str]) -> list[str]:
        for address in value:
            ipaddress.ip_network(address, strict=False)  # a ValueError says what is wrong
        return value

    @field_validator("backends")
    @classmethod
    def _backends_are_installed(cls, value: list[str]) -> list[str]:
        names = adapter_names()
        for name in value:
            if name not in names:
                raise ValueError(_one_of(names, name))
        return value


class VoiceMapping(_Block):
    """Who speaks for a voice id of another speech service."""

    speaker: Annotated[str, Field(min_length=1)]
    """Name of a built-in voice, or of a stored one."""
    language: str | None = None
    """A language's name, code or locale; None: the voice's own, or as configured."""

    @field_validator("language")
    @classmethod
    def _language_is_spoken(cls, value: str | None) -> str | None:
        return None if value is None else _spoken(value)


def _voices_of_others() -> dict[str, VoiceMapping]:
    """Return who speaks for the voices of StoryCore-Engine, OpenAI and Kokoro."""
    openai = {
        "alloy": "Serena",
        "ash": "Aiden",
        "ballad": "Dylan",
        "cedar": "Ryan",
        "coral": "Vivian",
        "echo": "Eric",
        "fable": "Dylan",
        "marin": "Serena",
        "nova": "Vivian",
        "onyx": "Uncle_Fu",
        "sage": "Sohee",
        "shimmer": "Ono_Anna",
        "verse": "Ryan",
        "af_bella": "Vivian",  # what clients of Kokoro ship, and the next
        "af_heart": "Serena",
    }
    return {
        **{name: VoiceMapping(speaker=speaker) for name, speaker in openai.items()},
        "fr-FR-Denise": VoiceMapping(speaker="Serena", language="French"),
        "fr-FR-Thierry": VoiceMapping(speaker="Ryan", language="French"),
        "en-US-Guy": VoiceMapping(speaker="Aiden", language="English"),
        "en-US-Jenny": VoiceMapping(speaker="Vivian", language="English"),
        "es-ES-Alvaro": VoiceMapping(speaker="Dylan", language="Spanish"),
        "de-DE-Conrad": VoiceMapping(speaker="Uncle_Fu", language="German"),
    }


class QwenTTSConfig(QwenTTSModelConfig):
    """The ``tts.qwen`` block: ``QwenTTSConfig(comfyui_url="http://…", model_choice="1.7B")``.

    Raises:
        ConfigurationError: An unknown key, a wrong type or an impossible value.
    """

    backend: str = "comfyui"
    """Who speaks: comfyui, direct, draft, or another adapter that is installed."""
    fallback: str | tuple[str, ...] | None = "direct"
    """What speaks while the backend is unavailable: a backend, or a list of them in their order;
    none or null: nothing does. Draft has no fallback."""
    rollout: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of requests that go to ComfyUI while the rest stay on direct; None: all of them go
    to ``backend``."""
    routing_key: Literal["project", "speaker", "request"] = "project"
    """What a rollout keeps on one side; a request that names no project goes by its speaker."""
    comfyui_url: str = "http://127.0.0.1:8188"
    """The ComfyUI server; a path in it is kept, for a server behind a proxy."""
    default_speaker: Annotated[str, Field(min_length=1)] = "Ryan"
    """The voice of a line that names none: a built-in or a stored one."""
    default_language: str = "Auto"
    """Of a line that names none: a name, code or locale; Auto lets the model judge."""
    strip_markup: bool = False
    """Leave Markdown, tags such as ``<break/>`` and ``[laugh]``, and emoji out of what is spoken;
    otherwise a warning names them."""
    output_dir: str | None = None
    """Where clients write audio; None: a fresh temporary folder."""
    voices_dir: Annotated[str, Field(min_length=1)] | None = None
    """Where voices are stored by name; None: ``voices`` in this program's folder of user data."""
    voice_map: dict[str, VoiceMapping] = Field(default_factory=_voices_of_others)
    """Voice ids of other speech services, in any case, and who speaks for them."""
    cast: Annotated[str, Field(min_length=1)] | None = None
    """Who speaks for the characters of a project inside StoryCore-Engine: a YAML file, which may be
    missing. None: ``cast.yaml`` in the working directory."""
    deprecate_legacy: bool = False
    """Warn those who still use the engine's old classes; each warning names what replaces it."""
    generation: QwenTTSGenerationConfig = QwenTTSGenerationConfig()
    training: QwenTTSTrainingConfig = QwenTTSTrainingConfig()
    comfyui: ComfyUIConfig = ComfyUIConfig()
    direct: DirectConfig = DirectConfig()
    draft: DraftConfig = DraftConfig()
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    server: ServerConfig = ServerConfig()

    @field_validator("backend")
    @classmethod
    def _backend_is_installed(cls, value: str) -> str:
        names = adapter_names()
        if value not in names:
            raise ValueError(_one_of(names, value))
        return value

    @field_validator("fallback", mode="before")
    @classmethod
    def _fallbacks_are_installed(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            installed = adapter_names()
            for name in names if names != ["none"] else ():
                if name not in installed:
                    raise ValueError(_one_of([*installed, "none", "a list of them"], name))
        return None if names in (["none"], [], ()) else value

    @field_validator("rollout")
    @classmethod
    def _rollout_has_two_sides(cls, value: float | None, info: ValidationInfo) -> float | None:
        backend = info.data.get("backend", "comfyui")
        if value is not None and backend not in ("comfyui", "direct"):
            raise ValueError(f"null, while tts.qwen.backend is {backend}")
        return value

    @field_validator("comfyui_url")
    @classmethod
    def _url_is_http(cls, value: str) -> str:
        return _checked_url(value)

    @field_validator("default_language")
    @classmethod
    def _language_is_spoken(cls, value: str) -> str:
        return _spoken(value)

    @property
    def has_usual_fallback(self) -> bool:
        """Whether ``fallback`` is the default."""
        return bool(self.fallback == type(self).model_fields["fallback"].default)

    def fallbacks_of(self, backend: str) -> tuple[str, ...]:
        """Return what speaks while a backend is unavailable, in this order, each once."""
        if self.fallback is None or backend == "draft":
            return ()
        names = (self.fallback,) if isinstance(self.fallback, str) else self.fallback
        return tuple(name for name in dict.fromkeys(names) if name != backend)


@dataclass(frozen=True)
class LoadedConfig:
    """Settings, and where each of them came from.

    Args:
        config: The settings in force.
        sources: Dotted key below ``tts.qwen`` -> "default", a file's path, or a variable's name.
    """

    config: QwenTTSConfig
    sources: Mapping[str, str]


def load_config(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> LoadedConfig:
    """Read the defaults, then a file, then the environment.

    Args:
        path: A YAML file with a ``tts.qwen`` block, among whatever else. None: the file that
            STORYCORE_TTS_CONFIG names, else ``storycore-tts.yaml``, ``config/storycore-tts.yaml``,
            ``data/storycore-tts.yaml`` or ``config/default.yaml`` in the working directory, else
            the defaults alone.
        environ: The environment; None for the process's own.

    Raises:
        ConfigurationError: Something in it is refused.
    """
    environment = os.environ if environ is None else environ
    layers = [_layer("default", _default_yaml())]
    file = _config_file(path, environment)
    if file is not None:
        layers.append(_layer(str(file), _read(file)))
    layers += _environment_layers(environment)

    leaves: dict[tuple[str, ...], Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.leaves.items():
            for stale in [k for k in leaves if k[: len(key)] == key or key[: len(k)] == k]:
                del leaves[stale]
                sources.pop(".".join(stale), None)
            leaves[key] = value
            sources[".".join(key)] = layer.source
    try:
        config = QwenTTSConfig(**_nested(leaves))
    except ConfigurationError as error:
        raise _located(error, sources) from None
    return LoadedConfig(config, sources)


def settings_files(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """Return the file that ``load_config`` reads, or those of which it reads the first.

    Args:
        path: See ``load_config``.
        environ: The environment; None for the process's own.
    """
    named = path or (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    return (Path(named),) if named else tuple(map(Path, _USUAL_FILES))


def rollout_notice(config: QwenTTSConfig) -> str | None:
    """Say that a rollout decides in place of ``backend``; None where it does not."""
    if config.rollout is None or config.rollout == (config.backend == "comfyui"):
        return None
    return (
        f"tts.qwen.rollout overrides tts.qwen.backend ({config.backend}): {config.rollout:.0%} of "
        "the requests go to comfyui, the rest to direct. Set rollout: null to let backend decide."
    )


@dataclass(frozen=True)
class _Layer:
    """Settings from one place."""

    source: str
    leaves: Mapping[tuple[str, ...], Any]


class _Yaml(yaml.SafeLoader):
    """YAML as people mean it: ``2e-5`` is a number, and a key that stands twice is a mistake."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
            seen.add((key.tag, key.value))
        return node


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


# What SafeLoader raises at a date such as 2026-99-99, and at tags such as !!int '' or !!bool x.
_UNFIT_TAGS = (ValueError, TypeError, AttributeError, LookupError, OverflowError)


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Yaml)  # noqa: S506 — a SafeLoader
    except (yaml.YAMLError, *_UNFIT_TAGS, RecursionError) as error:
        raise ConfigurationError(
            f"{source} is not valid YAML: {_yaml_problem(error)}.", source=source
        ) from None


def _yaml_problem(error: Exception) -> str:
    """Say what is wrong and where, without the line itself: it may hold a password."""
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return f"{' '.join(str(said).split())}{where}"


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        raise ConfigurationError(
            f"Cannot read the settings in {path}: {error}.", source=str(path)
        ) from None
    return _parse(text, str(path))


def _default_yaml() -> Any:
    return _parse(files("storycore_tts").joinpath("default.yaml").read_text("utf-8"), "default")


def _config_file(path: str | Path | None, environment: Mapping[str, str]) -> Path | None:
    files = settings_files(path, environ=environment)
    if len(files) == 1:  # it was named
        return files[0]
    return next((file for file in files if file.is_file()), None)


def _block_of(document: Any, source: str) -> dict[str, Any]:
    """Return the ``tts.qwen`` block of a document that may hold other things, or {}."""
    block, key = document, ""
    for name in ("tts", "qwen"):
        if block is None:
            return {}
        if not isinstance(block, dict):
            raise ConfigurationError(
                f"{source}: {key or 'the document'} must be a mapping, not {shown(block)}.",
                source=source,
                key=key,
                value=block,
                allowed="a mapping",
            )
        block, key = block.get(name), f"{key}.{name}".lstrip(".")
    if not isinstance(block, dict | None):
        raise ConfigurationError(
            f"{source}: tts.qwen must be a mapping, not {shown(block)}.",
            source=source,
            key=key,
            value=block,
            allowed="a mapping",
        )
    return block or {}


def _environment_layers(environment: Mapping[str, str]) -> Iterator[_Layer]:
    """Read STORYCORE_TTS_GENERATION__TOP_P=0.9 as ``generation.top_p``; the value is YAML."""
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NOT_SETTINGS:
            key = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
            yield _Layer(f"environment variable {name}", {key: _parse(text, name)})


def _layer(source: str, document: Any) -> _Layer:
    leaves: dict[tuple[str, ...], Any] = {}
    for number, (path, value) in enumerate(_leaves(_block_of(document, source)), start=1):
        if number > _MOST_LEAVES:
            raise ConfigurationError(
                f"{source}: tts.qwen holds more than {_MOST_LEAVES} values.", source=source
            )
        leaves[path] = value
    return _Layer(source, leaves)


def _leaves(
    block: Mapping[Any, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk as deep as settings go: an alias in a document may contain itself."""
    for key, value in block.items():
        path = (*above, str(key))
        if isinstance(value, dict) and value and len(path) < _DEEPEST:
            yield from _leaves(value, path)
        else:
            yield path, value


def _nested(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    block: dict[str, Any] = {}
    for path, value in leaves.items():
        place = block
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return block


def _refused(
    key: str, value: object, allowed: str, *, unknown_key: bool = False, source: str = ""
) -> ConfigurationError:
    where = f"{source}: " if source else ""
    what = "is not a key that exists" if unknown_key else f"cannot be {shown(value)}"
    return ConfigurationError(
        f"{where}{key} {what}. Allowed: {allowed}",
        source=source or None,
        key=key,
        value=value,
        allowed=allowed,
        unknown_key=unknown_key,
    )


def _refusal(block: type[_Block], error: ValidationError) -> ConfigurationError:
    """Turn pydantic's first objection into one sentence with key, value and what is allowed."""
    errors = error.errors(include_url=False)
    first = errors[0]
    key, value, kind = str(first["loc"][0]), first["input"], first["type"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        inner = ".".join([*map(str, first["loc"]), *filter(None, [cause.key])])
        return _refused(inner, cause.value, cause.allowed or "", unknown_key=cause.unknown_key)
    if kind == "missing":  # the value is the whole block
        return _refused("", value, f"a mapping with the key {key}")
    if kind == "extra_forbidden":
        known = list(block.model_fields)
        return _refused(key, value, _one_of(known, key), unknown_key=True)
    if kind == "literal_error" and get_origin(block.model_fields[key].annotation) is not dict:
        choices = get_args(block.model_fields[key].annotation)
        return _refused(
            key, value, _one_of(choices, value if isinstance(value, str) else shown(value))
        )
    value = "…" if key in _SECRETS else value
    if get_origin(block.model_fields[key].annotation) is dict:
        key = ".".join(str(part) for part in first["loc"])
    if isinstance(value, str):
        value = _USER_AND_PASSWORD.sub("…@", value)
    ours = [e for e in errors if e["loc"][0] == first["loc"][0]]  # of a union: one each
    said = [str(cause or e["msg"]).removeprefix("Input should be ") for e in ours]
    return _refused(key, value, " or ".join(dict.fromkeys(said)))


def _one_of(choices: Iterable[str], wrong: str) -> str:
    return f"one of {', '.join(choices)}.{did_you_mean(wrong, choices)}"


def _located(refusal: ConfigurationError, sources: Mapping[str, str]) -> ConfigurationError:
    """Say which file, or which variable, the refused value stands in."""
    key = refusal.key or ""
    while (source := _source_of(key, sources)) is None and "." in key:
        key = key.rpartition(".")[0]  # a key that is missing, or a value where a mapping belongs
    return _refused(
        f"tts.qwen.{refusal.key}",
        refusal.value,
        refusal.allowed or "",
        unknown_key=refusal.unknown_key,
        source=source or "",
    )


def _source_of(key: str, sources: Mapping[str, str]) -> str | None:
    return next((s for k, s in sources.items() if k == key or k.startswith(f"{key}.")), None)


def _spoken(language: str) -> str:
    """Return the model's name of a language."""
    try:
        return language_named(language)
    except UnsupportedLanguage as error:
        raise ValueError(str(error)) from None


def _checked_url(url: str) -> str:
    """Return an http(s) URL without its trailing slash; a path prefix stays."""
    example = "an address such as http://127.0.0.1:8188"
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"{example} ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{example}: it begins with http:// or https://")
    if not parts.hostname or not port_is_right or not _is_host(parts.hostname, parts.netloc):
        raise ValueError(f"{example}: it names a host, and a port from 1 to 65535 if any")
    if "@" in parts.netloc:
        raise ValueError("an address without user and password; put them into comfyui.headers")
    if "?" in url or "#" in url:
        raise ValueError(f"{example}: it ends before any ? or #")
    if not url.isprintable() or " " in url:
        raise ValueError(f"{example}: without spaces and control characters")
    if len(url) > _LONGEST_URL:
        raise ValueError(f"{example}: of {_LONGEST_URL} characters at most")
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")


def _is_host(host: str, netloc: str) -> bool:
    """Tell whether the HTTP library takes this host."""
    try:
        if "[" in netloc:
            return bool(ipaddress.IPv6Address(host))
        if host.replace(".", "").isdigit():
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    if host.isascii():
        return re.fullmatch(r"[\w.-]+", host) is not None
    import httpx  # knows which letters a name may have; needed for such names only

    try:
        return bool(httpx.URL(f"http://{host}").host)
    except httpx.InvalidURL:
        return False
