"""HTTP to one ComfyUI server: typed calls, and its answers turned into our errors.

This floor moves bytes and knows nothing of speech. It never retries: what a failed call means is
for the caller to judge. Facts about the routes were read off ComfyUI 0.3.64 on the wire.
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

# Enough to keep one server busy. The semaphore keeps requests out of httpx's pool until one of
# these is free: the pool looks through all that wait and all that is open at every request.
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
    """What ``/system_stats`` says.

    Args:
        version: ComfyUI's version, "" when it does not say.
        device: Name of its first device, such as "cuda:0 NVIDIA …".
        pytorch_version: Of the server's PyTorch.
        device_types: What it computes on, such as ("cuda",); () when it does not say.
    """

    version: str
    device: str
    pytorch_version: str
    device_types: tuple[str, ...] = ()

    def at_least(self, *wanted: int) -> bool:
        """Tell whether the version is known and not older than (0, 3, 60), for instance."""
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
    """The connection failed after the prompt may have been taken: look for it before anything."""

    def __init__(self, cause: TTSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def tls_context(config: QwenTTSConfig) -> ssl.SSLContext:
    """Return the TLS settings for HTTP and WebSocket alike; reads certificates, so it blocks.

    Raises:
        ConfigurationError: The CA bundle cannot be read.
    """
    verify = config.comfyui.verify_tls
    if not config.comfyui_url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and made in no time
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
        config: Address, headers and time limits.
        tls: What ``tls_context`` made of it.
        transport: Carries the requests instead of the network; for tests.
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
            # ImportError: a SOCKS proxy in the environment, without the package for it.
            raise ConfigurationError(
                f"Cannot use the connection settings for {self.url}: {error}.",
                key="tts.qwen.comfyui",
                hint="Check comfyui.headers (latin-1 text) and the HTTP_PROXY variables.",
            ) from None

    async def aclose(self) -> None:
        """Cut off what is under way, and close all connections."""
        await self._requests.aclose()
        await self._http.aclose()

    async def server_info(self) -> ServerInfo:
        """Ask who is there.

        Raises:
            BackendUnavailable: Nobody, or no ComfyUI.
        """
        try:
            response = await self._request("GET", "/system_stats")
        except httpx.RequestError as error:
            # Python's own TLS just hangs up on whoever speaks HTTP to it.
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
        """Return a node class's entry in ``/object_info``, or None where there is no such class."""
        return await self._entry("/object_info", class_type)

    async def told(self, path: str) -> Any:
        """Return what the server answers to a question that it need not know; None without JSON."""
        response = await self._send("GET", path)
        body = _parsed(response) if response.is_success else _NOT_JSON
        return None if body is _NOT_JSON else body

    async def submit(self, graph: Graph, *, prompt_id: str, client_id: str) -> Submitted:
        """Queue a graph.

        Raises:
            SubmissionUncertain: It may be queued or not.
            TTSError: It is certainly not queued; validation failed, for instance.
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
            # A proxy that lost patience, or a crash in mid-handling.
            raise SubmissionUncertain(self._errors.status(response))
        answer = _parsed(response) if response.is_success else self._checked(response)
        if not isinstance(answer, dict) or not isinstance(answer.get("prompt_id"), str):
            raise SubmissionUncertain(
                self._errors.not_comfyui("its answer to /prompt names no prompt_id")
            )
        return Submitted(answer["prompt_id"], mapping(answer.get("node_errors")))

    async def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """Return a finished prompt's entry; None while it waits or runs, and when it is unknown."""
        return await self._entry("/history", prompt_id)

    async def queue(self) -> QueueSnapshot:
        """Return who waits and who runs."""
        snapshot = read_queue(await self._json("/queue"))
        if snapshot is None:
            raise self._errors.not_comfyui("its /queue lists no queue")
        return snapshot

    async def delete_pending(self, prompt_id: str, *, times: int = 1) -> None:
        """Take a prompt out of the queue; one that already runs is left alone.

        Args:
            prompt_id: Whose it is.
            times: How often it may wait there; the server deletes one for each mention.
        """
        await self._post("/queue", {"delete": [prompt_id] * times})

    async def interrupt(self, prompt_id: str) -> None:
        """Stop a prompt if it is the one that runs (servers since September 2025)."""
        await self._post("/interrupt", {"prompt_id": prompt_id})

    async def cancel_job(self, prompt_id: str) -> bool:
        """Cancel a prompt wherever it is; tell whether the server knew it.

        Servers before 0.26 have no such route. Newer ones answer 404 for an unknown id, or 200 with
        ``cancelled: false``.
        """
        response = await self._send("POST", f"/api/jobs/{prompt_id}/cancel")
        if response.status_code in (404, 405):
            return False
        body = self._checked(response)
        return isinstance(body, dict) and body.get("cancelled") is not False

    async def upload(self, data: bytes, filename: str, subfolder: str) -> StoredFile:
        """Store a file in the server's folder of temporary files.

        Raises:
            InvalidReferenceAudio: The server finds it too large.
        """
        response = await self._send(
            "POST",
            "/upload/image",  # also for audio: the server has no other route
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
        """Return a file's bytes; None when it is not there any more."""
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
