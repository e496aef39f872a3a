"""What each backend of ours can be told, and how backends are retried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from storycore_tts.settings.adapters import AdapterSettings
from storycore_tts.settings.block import Seconds, SettingsBlock

if TYPE_CHECKING:
    from storycore_tts.settings.config import QwenTTSConfig


class ComfyUITimeouts(SettingsBlock):
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


class ComfyUIConfig(AdapterSettings):
    """How to talk to the ComfyUI server."""

    headers: dict[str, str] = Field(default={}, repr=False)
    """Sent with every request and with the WebSocket's handshake, to this server only."""
    verify_tls: bool | str = True
    """False accepts any certificate; a string is the path of a CA bundle."""
    timeouts: ComfyUITimeouts = ComfyUITimeouts()

    also_read = ("comfyui_url",)

    def machine(self, config: QwenTTSConfig) -> str:
        """Return the server's address."""
        return f"at {config.comfyui_url}"


class DraftConfig(AdapterSettings):
    """How the draft voices speak."""

    words_per_minute: Annotated[int, Field(ge=80, le=450)] = 165
    """Pace."""


class DirectConfig(AdapterSettings):
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
    """An idle model is unloaded after this time; None: never."""
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

    @property
    def max_concurrent(self) -> int:
        """As many as fit into a batch."""
        return self.max_batch_size


class RetryConfig(SettingsBlock):
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


class BreakerConfig(SettingsBlock):
    """When a backend counts as unavailable, so that calls go to the fallback at once."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """Failed tries in a row, of any calls, before no more are made."""
    probe_seconds: Seconds = 5.0
    """Seconds between two probes of an unavailable backend, in the background."""
