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

from storycore_tts.adapters.comfyui.rules import Graph, QueueSnapshot, read_queue
from storycore_tts.adapters.comfyui.waiting import in_own_task
from storycore_tts.domain.errors import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    InvalidReferenceAudio,
    TTSError,
)
from storycore_tts.settings import QwenTTSConfig

BACKEND = "comfyui"
# Enough to keep one server busy. The semaphore keeps requests out of httpx's pool until one of
# these is free: the pool looks through all that wait and all that is open at every request.
_CONNECTIONS = 8


@dataclass(frozen=True)
class ServerInfo:
    """What ``/system_stats`` says.

    Args:
        version: ComfyUI's version, "" when it does not say.
        device: Name of its first device, such as "cuda:0 NVIDIA …".
        python_version: Of the server's interpreter.
        pytorch_version: Of the server's PyTorch.
    """

    version: str
    device: str
    python_version: str
    pytorch_version: str

    def at_least(self, *wanted: int) -> bool:
        """Tell whether the version is known and not older than (0, 3, 60), for instance."""
        try:
            found = tuple(int(part) for part in self.version.lstrip("v").split(".")[:3])
        except ValueError:
            return False
        return found >= wanted


@dataclass(frozen=True)
class StoredFile:
    """A file on the server, as history and uploads name it."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True)
class Submitted:
    """The answer to an accepted prompt."""

    prompt_id: str
    node_errors: Mapping[str, Any]


class PromptRefused(Exception):
    """The server validated the graph and refused it; ``body`` says why."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("prompt refused")
        self.body = body


class SubmissionUncertain(Exception):
    """The connection failed after the prompt may have been taken: look for it before anything."""

    def __init__(self, cause: TTSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def unreachable_hint(url: str) -> str:
    """Say what people check when a server does not answer at an address."""
    return (
        f"Start ComfyUI, or set tts.qwen.comfyui_url (now {url}): ComfyUI Desktop listens on "
        "port 8000, other installations on 8188."
    )


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


class ComfyUITransport:
    """Typed calls to one server. Close it with ``aclose``.

    Args:
        config: Address, headers and time limits.
        tls: What ``tls_context`` made of it.
    """

    def __init__(self, config: QwenTTSConfig, tls: ssl.SSLContext) -> None:
        self.url = config.comfyui_url
        self._timeouts = config.comfyui.timeouts
        self._free = asyncio.Semaphore(_CONNECTIONS)
        try:
            self._http = httpx.AsyncClient(
                base_url=self.url,
                headers=config.comfyui.headers,
                verify=tls,
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
        """Close all connections."""
        await self._http.aclose()

    async def server_info(self) -> ServerInfo:
        """Ask who is there.

        Raises:
            BackendUnavailable: Nobody, or no ComfyUI.
        """
        body = await self._json("GET", "/system_stats")
        system = body.get("system") if isinstance(body, dict) else None
        if not isinstance(system, dict):
            raise self._not_comfyui("its /system_stats has no 'system'")
        devices = body.get("devices")
        first = devices[0] if isinstance(devices, list) and devices else {}
        return ServerInfo(
            version=str(system.get("comfyui_version") or ""),
            device=str(first.get("name") or "") if isinstance(first, dict) else "",
            python_version=str(system.get("python_version") or "").partition(" ")[0],
            pytorch_version=str(system.get("pytorch_version") or ""),
        )

    async def node_info(self, class_type: str) -> Mapping[str, Any] | None:
        """Return a node class's entry in ``/object_info``, or None where there is no such class."""
        body = await self._json("GET", f"/object_info/{class_type}")
        entry = body.get(class_type) if isinstance(body, dict) else None
        return entry if isinstance(entry, dict) else None

    async def submit(self, graph: Graph, *, prompt_id: str, client_id: str) -> Submitted:
        """Queue a graph.

        Raises:
            PromptRefused: Validation failed; nothing was queued.
            SubmissionUncertain: It may be queued or not.
            TTSError: It is certainly not queued.
        """
        body = {"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}
        try:
            response = await self._request("POST", "/prompt", json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.LocalProtocolError) as error:
            raise self._failure(error) from error
        except httpx.TransportError as error:
            raise SubmissionUncertain(self._failure(error)) from error
        if response.status_code == httpx.codes.BAD_REQUEST:
            refusal = _parsed(response)
            if isinstance(refusal, dict):
                raise PromptRefused(refusal)
        if response.status_code in (500, 502, 504):  # a proxy, or a crash in mid-handling
            raise SubmissionUncertain(self._status_error(response))
        answer = self._checked(response)
        if not isinstance(answer, dict) or not isinstance(answer.get("prompt_id"), str):
            raise SubmissionUncertain(self._not_comfyui("its answer to /prompt names no prompt_id"))
        errors = answer.get("node_errors")
        return Submitted(answer["prompt_id"], errors if isinstance(errors, dict) else {})

    async def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """Return a finished prompt's entry; None while it waits or runs, and when it is unknown."""
        body = await self._json("GET", f"/history/{prompt_id}")
        entry = body.get(prompt_id) if isinstance(body, dict) else None
        return entry if isinstance(entry, dict) else None

    async def queue(self) -> QueueSnapshot:
        """Return who waits and who runs."""
        snapshot = read_queue(await self._json("GET", "/queue"))
        if snapshot is None:
            raise self._not_comfyui("its /queue lists no queue")
        return snapshot

    async def delete_pending(self, prompt_id: str) -> None:
        """Take a prompt out of the queue; one that already runs is left alone."""
        await self._checked_call("POST", "/queue", json={"delete": [prompt_id]})

    async def interrupt(self, prompt_id: str) -> None:
        """Stop a prompt if it is the one that runs (servers since September 2025)."""
        await self._checked_call("POST", "/interrupt", json={"prompt_id": prompt_id})

    async def cancel_job(self, prompt_id: str) -> bool:
        """Cancel a prompt wherever it is; False on a server without ``/api/jobs``."""
        response = await self._send("POST", f"/api/jobs/{prompt_id}/cancel")
        if response.status_code in (404, 405):
            return False
        self._checked(response, json_expected=False)
        return True

    async def upload(self, data: bytes, filename: str, subfolder: str) -> StoredFile:
        """Store a file in the server's input folder.

        Raises:
            InvalidReferenceAudio: The server finds it too large.
        """
        response = await self._send(
            "POST",
            "/upload/image",  # also for audio: the server has no other route
            files={"image": (filename, data)},
            data={"subfolder": subfolder, "type": "input"},
        )
        if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise InvalidReferenceAudio(
                f"The ComfyUI server refuses a reference of {len(data)} bytes as too large.",
                hint="Use a shorter recording, or start ComfyUI with a larger --max-upload-size.",
                backend=BACKEND,
            )
        stored = self._checked(response)
        if not isinstance(stored, dict) or not isinstance(stored.get("name"), str):
            raise self._not_comfyui("its answer to an upload names no file")
        return StoredFile(stored["name"], str(stored.get("subfolder") or ""), "input")

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

    async def _json(self, method: str, path: str) -> Any:
        return self._checked(await self._send(method, path))

    async def _checked_call(self, method: str, path: str, **options: Any) -> None:
        self._checked(await self._send(method, path, **options), json_expected=False)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._request(method, path, **options)
        except httpx.TransportError as error:
            raise self._failure(error) from error

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with self._free:
            return await in_own_task(self._http.request(method, path, **options))

    def _checked(self, response: httpx.Response, *, json_expected: bool = True) -> Any:
        if not response.is_success:
            raise self._status_error(response)
        if not json_expected:
            return None
        body = _parsed(response)
        if body is _NOT_JSON:
            raise self._not_comfyui(f"{response.request.url.path} did not answer with JSON")
        return body

    def _failure(self, error: httpx.TransportError) -> TTSError:
        if isinstance(error, httpx.ConnectTimeout):
            return self._timed_out("connect", self._timeouts.connect)
        if isinstance(error, httpx.TimeoutException):
            return self._timed_out("request", self._timeouts.request)
        if isinstance(error, httpx.ConnectError):
            reason = str(error) or "the connection was refused"
            hint = unreachable_hint(self.url)
            if isinstance(error.__cause__, ssl.SSLError) or "certificate" in reason.lower():
                hint = "Check the server's certificate, or set tts.qwen.comfyui.verify_tls."
            return BackendUnavailable(
                f"Cannot reach ComfyUI at {self.url}: {reason}.", hint=hint, backend=BACKEND
            )
        if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
            return ConfigurationError(
                f"Cannot send a request to {self.url}: {error}.",
                key="tts.qwen.comfyui",
                hint="Check tts.qwen.comfyui_url and tts.qwen.comfyui.headers.",
            )
        return BackendUnavailable(
            f"The connection to ComfyUI at {self.url} broke: {error or type(error).__name__}.",
            hint="Look at the server's own log; it may have restarted.",
            backend=BACKEND,
        )

    def _timed_out(self, wait: str, seconds: float) -> BackendTimeout:
        return BackendTimeout(
            f"ComfyUI at {self.url} did not answer within {seconds:g} s.",
            wait=wait,
            seconds=seconds,
            hint=f"Is it overloaded? The limit is tts.qwen.comfyui.timeouts.{wait}.",
            backend=BACKEND,
        )

    def _status_error(self, response: httpx.Response) -> TTSError:
        status, path = response.status_code, response.request.url.path
        said = f"ComfyUI at {self.url} answered {status} {response.reason_phrase} to {path}."
        if status in (401, 403):
            return AuthenticationFailed(
                said,
                hint="Put the server's credentials into tts.qwen.comfyui.headers.",
                backend=BACKEND,
            )
        if status in (429, 503):
            return BackendOverloaded(
                said,
                hint="Wait before the next request.",
                backend=BACKEND,
                retry_after=_seconds(response.headers.get("Retry-After")),
            )
        if response.is_redirect:
            return BackendUnavailable(
                said,
                hint=f"It points to {response.headers.get('Location')}: "
                "if that is yours, set tts.qwen.comfyui_url to it.",
                backend=BACKEND,
                retryable=False,
            )
        if status in (404, 405):
            return self._not_comfyui(f"it answered {status} to {path}")
        return BackendUnavailable(said, hint="Look at the server's own log.", backend=BACKEND)

    def _not_comfyui(self, reason: str) -> BackendUnavailable:
        return BackendUnavailable(
            f"The server at {self.url} does not speak like ComfyUI: {reason}.",
            hint=unreachable_hint(self.url),
            backend=BACKEND,
            retryable=False,
        )


_NOT_JSON = object()


def _parsed(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return _NOT_JSON


def _seconds(header: str | None) -> float | None:
    """Read a Retry-After header that counts seconds; its date form is not worth a wait of ours."""
    return float(header) if header is not None and header.isdecimal() else None
