"""A finished job's audio, fetched until it is whole: it is never generated again for that."""

from __future__ import annotations

import asyncio
import random

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.messages import StoredFile
from storycore_tts.adapters.comfyui.protocol.nodes import NODE_PACK
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.domain.errors import BackendUnavailable, GenerationFailed, JobLost
from storycore_tts.sound.decoders import UndecodableAudio
from storycore_tts.sound.files import decode
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

_TRIES = 3  # for audio that arrives damaged
_PAUSE = (0.1, 0.5)  # s between two tries
_INLINE_BYTES = 200_000  # files up to this size decode faster than a thread takes them up


async def fetch_audio(session: Session, file: StoredFile) -> Samples:
    """Fetch and decode a sound.

    One that arrives damaged is fetched again, twice at most; a server that cannot be reached is
    waited for, as long as ``timeouts.away`` allows.

    Raises:
        TTSError: None of them is ``retryable``: the same call would generate it again.
    """
    reachable = session.http.reachability.reachable
    clock = asyncio.get_running_loop().time
    tries = 0
    over: float | None = None  # when we stop to wait for a server that cannot be reached
    while True:
        try:
            return await _fetch(session, file)
        except UndecodableAudio as error:
            tries += 1
            if tries == _TRIES:
                raise _damaged(error) from error
        except BackendUnavailable as error:
            error.retryable = False
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
            f"ComfyUI finished the job, but its file {file.filename} is gone.",
            hint="Does something clean the server's temp folder? Ask again.",
            backend=BACKEND,
            retryable=False,
        )
    inline = len(data) <= _INLINE_BYTES
    samples, sample_rate = decode(data) if inline else await asyncio.to_thread(decode, data)
    if sample_rate != SAMPLE_RATE:
        raise GenerationFailed(
            f"ComfyUI delivered audio at {sample_rate} Hz; Qwen3-TTS speaks at {SAMPLE_RATE} Hz.",
            hint=f"Is the node pack {NODE_PACK} of another version than 1.0.6?",
            backend=BACKEND,
        )
    return samples


def _damaged(error: UndecodableAudio) -> GenerationFailed:
    return GenerationFailed(
        f"The audio that ComfyUI made arrives damaged, three times in a row: {error}.",
        hint="Look at the server's output folder and at what stands between it and you.",
        backend=BACKEND,
        retryable=False,
    )
