"""Settings of the built-in backends, of retries and of the circuit breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from storycore_tts.settings.adapters import AdapterSettings
from storycore_tts.settings.block import Seconds, SettingsBlock

if TYPE_CHECKING:
    from storycore_tts.settings.config import QwenTTSConfig


class ComfyUITimeouts(SettingsBlock):
    """Timeouts for a ComfyUI server, in seconds."""

    connect: Seconds = 5.0
    """To connect to the server."""
    request: Seconds = 30.0
    """For one HTTP response."""
    queue: Seconds = 3600.0
    """In the queue, behind other jobs."""
    idle: Seconds = 900.0
    """Without progress while a job runs. Loading a model for the first time reports no progress."""
    job: Seconds = 3600.0
    """For a whole job, from submission to result."""
    training: Seconds = 172_800.0
    """For a whole training job."""
    away: Seconds = 120.0
    """For the server to come back when the connection is lost during a job. A restart can take a
    minute on a busy machine."""
    cancel: Seconds = 5.0
    """To cancel a job on the server."""


class ComfyUIConfig(AdapterSettings):
    """Connection to the ComfyUI server."""

    headers: dict[str, str] = Field(default={}, repr=False)
    """HTTP headers sent with every request and the WebSocket handshake, to this server only."""
    verify_tls: bool | str = True
    """Whether to verify TLS certificates; a string is the path of a CA bundle."""
    timeouts: ComfyUITimeouts = ComfyUITimeouts()

    also_read = ("comfyui_url",)

    def machine(self, config: QwenTTSConfig) -> str:
        """Return the server's address."""
        return f"at {config.comfyui_url}"


class DraftConfig(AdapterSettings):
    """Settings of the draft voices."""

    words_per_minute: Annotated[int, Field(ge=80, le=450)] = 165
    """Speaking rate, in words per minute."""


class DirectConfig(AdapterSettings):
    """Settings of the model that runs in this process."""

    models: dict[
        Literal["1.7B-CustomVoice", "1.7B-Base", "0.6B-CustomVoice", "0.6B-Base"],
        Annotated[str, Field(min_length=1)],
    ] = {}
    """Location of each model: a local folder, or a repository on the Hugging Face Hub. Default:
    ``Qwen/Qwen3-TTS-12Hz-{size}-{kind}`` on the Hub."""
    max_loaded_models: Annotated[int, Field(ge=1, le=64)] = 1
    """Maximum number of models in memory; the least recently used one is unloaded first."""
    idle_unload_seconds: Seconds | None = 300.0
    """Seconds after which an idle model is unloaded; None: never."""
    max_batch_size: Annotated[int, Field(ge=1, le=256)] = 16
    """Maximum number of lines generated at once; memory use grows with the length of each line."""
    batch_window_ms: Annotated[float, Field(ge=0, le=1000)] = 10.0
    """How long a line waits for others to join its batch, in milliseconds."""
    first_chunk_frames: Annotated[int, Field(ge=1, le=250)] = 4
    """Codec frames in the first chunk of a stream; 12.5 frames are one second."""
    chunk_frames: Annotated[int, Field(ge=1, le=250)] = 12
    """Codec frames in the following chunks."""
    clone_cache_megabytes: Annotated[float, Field(ge=0, le=65_536)] = 64.0
    """Maximum size of the cache of prepared reference recordings, in megabytes; 0 disables it."""

    @property
    def max_concurrent(self) -> int:
        """The batch size."""
        return self.max_batch_size


class RetryConfig(SettingsBlock):
    """How often a request is retried on one backend, and the delays between attempts."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Maximum attempts per request on one backend, including the first."""
    initial_seconds: Seconds = 1.0
    """Delay before the first retry, in seconds; it doubles with each retry. The actual delay is
    random, between half of this and all of it, so that clients do not retry in step."""
    longest_seconds: Seconds = 8.0
    """Maximum delay between attempts, in seconds."""
    longest_retry_after: Seconds = 30.0
    """Longest ``Retry-After`` that is honoured, in seconds; after a longer one, the request is not
    retried."""


class BreakerConfig(SettingsBlock):
    """Circuit breaker: when a backend counts as unavailable and calls go to the fallback."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """Consecutive failed attempts, across all calls, that mark a backend unavailable."""
    probe_seconds: Seconds = 5.0
    """Interval between background probes of an unavailable backend, in seconds."""
