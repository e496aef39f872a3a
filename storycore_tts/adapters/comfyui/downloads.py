"""Downloads the audio of finished jobs, with retries, so that it need not be generated again."""

from __future__ import annotations

import asyncio
import random

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.messages import StoredFile
from storycore_tts.adapters.comfyui.protocol.nodes import NODE_PACK
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.errors import BackendUnavailable, GenerationFailed, JobLost
from storycore_tts.sound.decoders import UndecodableAudio
from storycore_tts.sound.files import decode
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

_TRIES = 3  # for damaged audio
_PAUSE = (0.1, 0.5)  # s between attempts
_INLINE_BYTES = 200_000  # up to this size, decoding is faster than starting a thread


async def fetch_audio(session: Session, file: StoredFile) -> Samples:
    """Download and decode audio.

    Damaged audio is downloaded again, at most twice. If the server is unreachable, retries continue
    for ``timeouts.away``.

    Args:
        session: The session.
        file: The file on the server.

    Raises:
        TTSError: The audio cannot be downloaded. Never ``retryable``, since a retry of the call
            would generate the audio again.
    """
    reachable = session.http.reachability.reachable
    clock = asyncio.get_running_loop().time
    tries = 0
    over: float | None = None  # when to stop waiting for an unreachable server
    while True:
        try:
            return await _fetch(session, file)
        except UndecodableAudio as error:
            tries += 1
            if tries == _TRIES:
                raise _damaged(error) from error
        except BackendUnavailable as error:
            error.retryable, error.retry_after = False, None
            if reachable.is_set():
                tries, over = tries + 1, None
            else:
                over = over or clock() + session.config.comfyui.timeouts.away
            if tries == _TRIES or session.closing or (over is not None and clock() > over):
                raise
        await asyncio.sleep(random.uniform(*_PAUSE))


async def _fetch(session: Session, file: StoredFile) -> Samples:
    data = await session.http.download(file)
    if data is None:
        raise JobLost(
            f"ComfyUI finished the job, but its file {file.filename} no longer exists.",
            hint="Check whether the server's temp folder is cleaned, and retry.",
            backend=BACKEND,
            retryable=False,
        )
    inline = len(data) <= _INLINE_BYTES
    samples, sample_rate = decode(data) if inline else await asyncio.to_thread(decode, data)
    if sample_rate != SAMPLE_RATE:
        raise GenerationFailed(
            f"ComfyUI returned audio at {sample_rate} Hz instead of {SAMPLE_RATE} Hz.",
            hint=f"Check that version 1.0.6 of the node pack {NODE_PACK} is installed.",
            backend=BACKEND,
        )
    return samples


def _damaged(error: UndecodableAudio) -> GenerationFailed:
    return GenerationFailed(
        f"The audio from ComfyUI was damaged in {_TRIES} downloads: {error}.",
        hint="Check the server's output folder, and any proxy between the server and the client.",
        backend=BACKEND,
        retryable=False,
    )
