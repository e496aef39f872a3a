"""HTTP client for one ComfyUI server: typed calls, with failures raised as our errors.

This layer knows nothing about speech and never retries: the caller decides what a failed call
means. The behaviour of the routes was observed on ComfyUI 0.3.64.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.failures import closed_error, refused_prompt_error
from storycore_tts.adapters.comfyui.protocol.messages import (
    Graph,
    QueueSnapshot,
    StoredFile,
    first,
    mapping,
    read_queue,
)
from storycore_tts.adapters.comfyui.transport.http_errors import HttpErrors, speaks_tls
from storycore_tts.adapters.comfyui.transport.reachability import ReachabilityCache
from storycore_tts.adapters.comfyui.transport.requests import Requests
from storycore_tts.errors import (
    ConfigurationError,
    InvalidReferenceAudio,
    TTSError,
)
from storycore_tts.settings import QwenTTSConfig

# Enough to keep one server busy. A semaphore keeps requests out of httpx's pool until a connection
# is free, because the pool scans all waiting requests and open connections on every request.
_CONNECTIONS = 8
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True)
class ServerInfo:
    """The server's answer to ``/system_stats``.

    Args:
        version: ComfyUI's version; "" if not reported.
        device: Name of the first device, such as "cuda:0 NVIDIA …".
        pytorch_version: The server's PyTorch version.
        device_types: Types of the devices, such as ("cuda",); () if not reported.
    """

    version: str
    device: str
    pytorch_version: str
    device_types: tuple[str, ...] = ()

    def at_least(self, *wanted: int) -> bool:
        """Return whether the version is known and at least ``wanted``, such as (0, 3, 60)."""
        try:
            found = tuple(int(part) for part in self.version.lstrip("v").split(".")[:3])
        except ValueError:
            return False
        return found >= wanted


@dataclass(frozen=True)
class Submitted:
    """The answer to an accepted prompt."""

    prompt_id: str
    node_errors: Mapping[str, Any]


class SubmissionUncertain(Exception):
    """The connection failed and the prompt may have been queued: check before submitting again."""

    def __init__(self, cause: TTSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def tls_context(config: QwenTTSConfig) -> ssl.SSLContext:
    """Return the TLS settings for HTTP and WebSocket. Blocks while it reads certificates.

    Raises:
        ConfigurationError: The CA bundle cannot be read.
    """
    verify = config.comfyui.verify_tls
    if not config.comfyui_url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and cheap to create
    try:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read the CA bundle {verify!r}: {error}.",
            key="tts.qwen.comfyui.verify_tls",
            value=verify,
            allowed="true, false or the path of a PEM file",
        ) from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class ComfyUIHTTP:
    """Typed calls to one server. Close it with ``aclose``.

    Args:
        config: Address, headers and timeouts.
        tls: The result of ``tls_context`` for ``config``.
        transport: Replaces the HTTP transport, for tests.
    """

    def __init__(
        self,
        config: QwenTTSConfig,
        tls: ssl.SSLContext,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = config.comfyui_url
        self.reachability = ReachabilityCache()
        self._requests = Requests()
        self._timeouts = config.comfyui.timeouts
        self._errors = HttpErrors(self.url, self._timeouts)
        self._free = asyncio.Semaphore(_CONNECTIONS)
        try:
            self._http = httpx.AsyncClient(
                base_url=self.url,
                headers=config.comfyui.headers,
                verify=tls,
                transport=transport,
                timeout=httpx.Timeout(self._timeouts.request, connect=self._timeouts.connect),
                limits=httpx.Limits(
                    max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
                ),
            )
        except (UnicodeEncodeError, ValueError, ImportError) as error:
            # ImportError: the environment sets a SOCKS proxy, but its package is not installed.
            raise ConfigurationError(
                f"Cannot use the connection settings for {self.url}: {error}.",
                key="tts.qwen.comfyui",
                hint="Check comfyui.headers (latin-1 text) and the HTTP_PROXY variables.",
            ) from None

    async def aclose(self) -> None:
        """Abort requests in progress and close all connections."""
        await self._requests.aclose()
        await self._http.aclose()

    async def server_info(self) -> ServerInfo:
        """Return the server's version and devices.

        Raises:
            BackendUnavailable: The server does not answer, or is not ComfyUI.
        """
        try:
            response = await self._request("GET", "/system_stats")
        except httpx.RequestError as error:
            # Python's TLS servers close the connection when they receive plain HTTP.
            hung_up = (
                isinstance(error, httpx.RemoteProtocolError) and not self.reachability.ever_answered
            )
            if hung_up and await speaks_tls(self.url, timeout=self._timeouts.connect):
                raise self._errors.wants_https() from error
            raise self._errors.failure(error) from error
        body = self._checked(response)
        system = mapping(body).get("system")
        if not isinstance(system, dict):
            raise self._errors.not_comfyui("its /system_stats has no 'system'")
        devices = body.get("devices")
        types = [mapping(d).get("type") for d in (devices if isinstance(devices, list) else [])]
        return ServerInfo(
            version=str(system.get("comfyui_version") or ""),
            device=str(mapping(first(devices)).get("name") or ""),
            pytorch_version=str(system.get("pytorch_version") or ""),
            device_types=tuple(kind for kind in types if isinstance(kind, str)),
        )

    async def node_info(self, class_type: str) -> Mapping[str, Any] | None:
        """Return a node class's entry in ``/object_info``; None if there is no such class."""
        return await self._entry("/object_info", class_type)

    async def told(self, path: str) -> Any:
        """Return the JSON answer of an optional route; None if there is none."""
        response = await self._send("GET", path)
        body = _parsed(response) if response.is_success else _NOT_JSON
        return None if body is _NOT_JSON else body

    async def submit(self, graph: Graph, *, prompt_id: str, client_id: str) -> Submitted:
        """Queue a graph.

        Raises:
            SubmissionUncertain: The graph may or may not be queued.
            TTSError: The graph is not queued, for example because validation failed.
        """
        body = {"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}
        try:
            response = await self._request("POST", "/prompt", json=body)
        except _NEVER_SENT as error:
            raise self._errors.failure(error) from error
        except httpx.RequestError as error:
            raise SubmissionUncertain(self._errors.failure(error)) from error
        except TTSError as closed:
            raise SubmissionUncertain(closed) from None
        if response.status_code == httpx.codes.BAD_REQUEST:
            refusal = _parsed(response)
            if isinstance(refusal, dict):
                raise refused_prompt_error(refusal, graph)
        if response.is_server_error and response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            # A proxy timed out, or the server crashed while handling the request.
            raise SubmissionUncertain(self._errors.status(response))
        answer = _parsed(response) if response.is_success else self._checked(response)
        if not isinstance(answer, dict) or not isinstance(answer.get("prompt_id"), str):
            raise SubmissionUncertain(
                self._errors.not_comfyui("its answer to /prompt names no prompt_id")
            )
        return Submitted(answer["prompt_id"], mapping(answer.get("node_errors")))

    async def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """Return a finished prompt's entry; None if it is queued, running or unknown."""
        return await self._entry("/history", prompt_id)

    async def queue(self) -> QueueSnapshot:
        """Return the queued and running prompts."""
        snapshot = read_queue(await self._json("/queue"))
        if snapshot is None:
            raise self._errors.not_comfyui("its /queue lists no queue")
        return snapshot

    async def delete_pending(self, prompt_id: str, *, times: int = 1) -> None:
        """Remove a prompt from the queue. A running prompt is not affected.

        Args:
            prompt_id: The prompt's id.
            times: How often the prompt may be queued; the server deletes one entry per mention.
        """
        await self._post("/queue", {"delete": [prompt_id] * times})

    async def interrupt(self, prompt_id: str) -> None:
        """Interrupt a prompt if it is the running one (servers since September 2025)."""
        await self._post("/interrupt", {"prompt_id": prompt_id})

    async def cancel_job(self, prompt_id: str) -> bool:
        """Cancel a queued or running prompt; return whether the server knew it.

        Servers before 0.26 have no such route. Newer ones answer an unknown id with 404, or with
        200 and ``cancelled: false``.
        """
        response = await self._send("POST", f"/api/jobs/{prompt_id}/cancel")
        if response.status_code in (404, 405):
            return False
        body = self._checked(response)
        return isinstance(body, dict) and body.get("cancelled") is not False

    async def upload(self, data: bytes, filename: str, subfolder: str) -> StoredFile:
        """Store a file in the server's temp folder.

        Raises:
            InvalidReferenceAudio: The file exceeds the server's upload limit.
        """
        response = await self._send(
            "POST",
            "/upload/image",  # the server has no other upload route, even for audio
            files={"image": (filename, data)},
            data={"subfolder": subfolder, "type": "temp"},
        )
        if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise InvalidReferenceAudio(
                f"The ComfyUI server refuses a reference of {len(data)} bytes as too large.",
                hint="Use a shorter recording, or start ComfyUI with a larger --max-upload-size.",
                backend=BACKEND,
            )
        if response.status_code in (500, httpx.codes.INSUFFICIENT_STORAGE):
            error = self._errors.status(response)
            error.hint = (
                "The server cannot store the reference. Is its disk full, or its temp folder "
                "read-only? Its own log says which."
            )
            raise error
        stored = mapping(self._checked(response))
        if not isinstance(stored.get("name"), str):
            raise self._errors.not_comfyui("its answer to an upload names no file")
        return StoredFile(stored["name"], str(stored.get("subfolder") or ""), "temp")

    async def download(self, file: StoredFile) -> bytes | None:
        """Return a file's bytes; None if the file no longer exists."""
        response = await self._send(
            "GET",
            "/view",
            params={"filename": file.filename, "subfolder": file.subfolder, "type": file.type},
        )
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        self._checked(response, json_expected=False)
        return response.content

    async def _json(self, path: str) -> Any:
        return self._checked(await self._send("GET", path))

    async def _entry(self, route: str, key: str) -> Mapping[str, Any] | None:
        entry = mapping(await self._json(f"{route}/{key}")).get(key)
        return entry if isinstance(entry, dict) else None

    async def _post(self, path: str, body: Mapping[str, Any]) -> None:
        self._checked(await self._send("POST", path, json=body), json_expected=False)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._request(method, path, **options)
        except httpx.RequestError as error:
            raise self._errors.failure(error) from error

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with self._free:
            if self._requests.closed:
                raise closed_error()
            self.reachability.check()
            try:
                response = await self._requests.run(self._http.request(method, path, **options))
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
                self.reachability.failed(error)
                raise
            self.reachability.answer()
            return response

    def _checked(self, response: httpx.Response, *, json_expected: bool = True) -> Any:
        if not response.is_success:
            raise self._errors.status(response)
        if not json_expected:
            return None
        body = _parsed(response)
        if body is _NOT_JSON:
            raise self._errors.not_comfyui(f"{response.request.url.path} did not answer with JSON")
        return body


_NOT_JSON = object()


def _parsed(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return _NOT_JSON
