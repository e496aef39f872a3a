"""Converts takes to clips of the engine's timeline, and posts them to the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from storycore_tts.domain.script import Script, Take, placed
from storycore_tts.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    InvalidRequest,
)

if TYPE_CHECKING:
    import httpx

_ROUTE = "/api/video-editor/projects/{project}/tracks/{track}/clips"
_SECONDS = 30.0
_SHOWN = 300  # characters of a response in a message


def clips(script: Script, takes: Sequence[Take], track_id: str) -> list[dict[str, Any]]:
    """Return takes as ``TimelineClip`` objects of the engine; times in seconds.

    Args:
        script: The script.
        takes: Takes in the order of the script.
        track_id: Id of the track.
    """
    times = placed((take.line.character.id, take.duration) for take in takes)
    return [
        {
            "id": str(uuid5(NAMESPACE_URL, f"{script.id}/{take.line.id or take.line.number}")),
            "type": "audio",
            "track_id": track_id,
            "start_time": _seconds(start),
            "end_time": _seconds(end),
            "name": take.path.stem,
            "source_start": 0.0,
            "source_end": _seconds(end - start),
            "file_path": str(take.path),
            "metadata": {
                "scene_id": script.id,
                "line_id": take.line.id,
                "character_id": take.line.character.id,
                "character_name": take.line.character.name,
                "text": take.line.text,
                "emotion": take.line.emotion,
                "speaker": take.speaker,
                "backend": take.backend,
                "warnings": list(take.warnings),
            },
        }
        for take, (start, end) in zip(takes, times, strict=True)
    ]


def audio_tracks(placed_clips: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return clips as entries of a shot's ``audio_tracks``; times in seconds, volume in dB."""
    return [
        {
            "id": f"{clip['metadata']['scene_id']}_voice_{clip['name'].lower()}",
            "name": clip["name"],
            "type": "voice",
            "prompt": clip["metadata"]["text"],
            "start_time": clip["start_time"],
            "duration": clip["source_end"],
            "volume": 0.0,
            "muted": False,
            "regeneratable": True,
            "file_path": clip["file_path"],
        }
        for clip in placed_clips
    ]


async def post_clips(
    engine: str,
    project: str,
    track: str,
    posted: Sequence[Mapping[str, Any]],
    *,
    token: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> list[str]:
    """Post clips to a track of the engine's timeline, one after the other.

    Args:
        engine: URL of the engine, such as http://127.0.0.1:8080.
        project: Id of a project of the engine.
        track: Id of a track of the project.
        posted: Clips, from ``clips``.
        token: Sent as ``Authorization: Bearer``.
        transport: HTTP transport; None: the network.

    Returns:
        The ids that the engine assigned to the clips.

    Raises:
        AuthenticationFailed: The engine rejected the token, or requires one.
        BackendUnavailable: The engine is unreachable or failed.
        InvalidRequest: The project or the track does not exist, or the URL is invalid.
    """
    import httpx  # needed by this function only

    path = _ROUTE.format(project=quote(project, safe=""), track=quote(track, safe=""))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    ids: list[str] = []
    try:
        async with httpx.AsyncClient(
            base_url=engine, headers=headers, timeout=_SECONDS, transport=transport
        ) as client:
            for clip in posted:
                # The route expects these names instead of those of a clip.
                body = {**clip, "startTime": clip["start_time"], "duration": clip["source_end"]}
                answer = await client.post(path, json=body)
                _check(answer, engine, done=len(ids), of=len(posted))
                ids.append(str(answer.json()["id"]))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InvalidRequest(f"{engine!r} is not a valid URL: {error}.") from None
    except httpx.RequestError as error:
        raise BackendUnavailable(
            f"StoryCore-Engine at {engine} cannot be reached ({type(error).__name__}); "
            f"{len(ids)} of {len(posted)} clips were added to the track.",
            hint="Check that the engine is running and that the URL is correct.",
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise BackendUnavailable(
            f"The server at {engine}{path} is not StoryCore-Engine.", retryable=False
        ) from error
    return ids


def _check(answer: httpx.Response, engine: str, *, done: int, of: int) -> None:
    if answer.is_success:
        return
    said = f"HTTP {answer.status_code}, {answer.text[:_SHOWN]!r}"
    message = (
        f"StoryCore-Engine at {engine} rejected a clip: {said}; {done} of {of} clips were added to "
        "the track."
    )
    if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise AuthenticationFailed(message, hint="Use a token issued by this engine.")
    if answer.is_server_error:
        raise BackendUnavailable(message)
    raise InvalidRequest(message, hint="Check the URL and the ids of the project and the track.")


def _seconds(exact: Any) -> float:
    return round(float(exact), 6)
