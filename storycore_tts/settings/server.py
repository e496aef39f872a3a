"""How the service over HTTP listens, whom it lets in, and what it keeps."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import Field, field_validator

from storycore_tts.settings.adapters import adapter_names
from storycore_tts.settings.block import Seconds, SettingsBlock, one_of

PATH_PREFIX = r"^((/[A-Za-z0-9~_-][A-Za-z0-9.~_-]*)+)?$"
"""A prefix of paths: none, or segments that no proxy reads in two ways."""
_ORIGIN = re.compile(r"\*|[a-z]+-extension://\*|[a-z][a-z0-9+.-]*://[^\s/?#@*]+")


class ServerConfig(SettingsBlock):
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
    """Host names that requests may use, besides ``localhost`` and the address."""
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
                raise ValueError(one_of(names, name))
        return value
