"""Settings of the HTTP service."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import Field, field_validator

from storycore_tts.settings.adapters import adapter_names
from storycore_tts.settings.block import Seconds, SettingsBlock, one_of

PATH_PREFIX = r"^((/[A-Za-z0-9~_-][A-Za-z0-9.~_-]*)+)?$"
"""A path prefix: empty, or segments that all proxies parse alike."""
_ORIGIN = re.compile(r"\*|[a-z]+-extension://\*|[a-z][a-z0-9+.-]*://[^\s/?#@*]+")


class ServerConfig(SettingsBlock):
    """Settings of the HTTP service: address, access, limits and storage."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; an address other than loopback requires ``api_keys``."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8600
    """Port to listen on; 0 chooses a free port."""
    backends: list[str] = []
    """Adapters that requests may select besides ``backend``, such as ``draft``."""
    api_keys: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        default={}, repr=False
    )
    """API keys, as owner's name -> SHA-256 of the key; ``storycore-tts keys new`` creates one."""
    allowed_hosts: list[str] = []
    """Accepted ``Host`` names, besides ``localhost`` and ``host``."""
    allowed_origins: list[str] = []
    """Origins whose web pages may call the service (CORS), such as ``https://editor.example``,
    ``app://obsidian.md``, or ``moz-extension://*`` for any extension of that browser. ``*`` allows
    any origin, and requires ``api_keys``."""
    open_lists: bool = False
    """Whether the voice and model lists under ``/v1`` work without a key, for clients that send
    none."""
    root_path: Annotated[str, Field(pattern=PATH_PREFIX)] = ""
    """Path prefix under which a reverse proxy serves the service, such as ``/tts``."""
    trusted_proxies: list[str] = []
    """Addresses or networks of proxies whose ``X-Forwarded-Prefix`` overrides ``root_path``."""
    database_url: str | None = Field(default=None, repr=False)
    """Database of jobs, ``postgresql://…``; processes that share it share the work. None: a file in
    ``state_dir``."""
    state_dir: Annotated[str, Field(min_length=1)] | None = None
    """Folder for the service's data; None: ``service`` in the user data folder of this program."""
    concurrency: dict[str, Annotated[int, Field(ge=1, le=1000)]] = {}
    """Maximum concurrent requests per process, by backend; further requests wait. Default: 16 for
    direct, which batches them, and 4 for other backends."""
    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Maximum number of waiting requests per process; further requests are rejected."""
    max_queued: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Maximum number of queued jobs in the database, across all processes; more are rejected."""
    job_seconds: Seconds = 3600.0
    """Time limit of a job from its start, in seconds; a request can set a shorter one."""
    training_seconds: Seconds = 172_800.0
    """Time limit of a training job, in seconds."""
    retention_hours: Annotated[float, Field(gt=0, le=87_600)] = 168.0
    """How long finished jobs and uploads are kept, in hours."""
    max_upload_megabytes: Annotated[float, Field(gt=0, le=1024)] = 25.0
    """Maximum size of an uploaded recording, in megabytes."""
    max_upload_seconds: Annotated[float, Field(gt=0, le=600)] = 120.0
    """Maximum duration of an uploaded recording, in seconds."""
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = 600
    """Maximum requests per minute for each key; None: unlimited."""
    checkpoint_roots: list[str] = []
    """Folders whose fine-tuned checkpoints requests may use, as the backend sees them."""
    dataset_roots: list[str] = []
    """Folders whose training data requests may use, as the backend sees them."""
    training_dir: Annotated[str, Field(min_length=1)] | None = None
    """Folder for trained voices, as the backend sees it; None disables training over HTTP."""

    @field_validator("allowed_origins")
    @classmethod
    def _origins_are_some(cls, value: list[str]) -> list[str]:
        for origin in value:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    "*, an origin as browsers send it, such as https://editor.example without a "
                    "path, or a wildcard such as chrome-extension://*"
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
                raise ValueError(one_of(names, name))
        return value
