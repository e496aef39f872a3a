"""Streams from backends that only speak whole lines: sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from storycore_tts.concurrency.waiting import all_ended, consume_exception
from storycore_tts.domain.errors import BackendUnavailable
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.sampling import fresh_seed
from storycore_tts.domain.sentences import sentences
from storycore_tts.domain.speech import Speech
from storycore_tts.ports import SpeechChunk
from storycore_tts.sound.samples import Samples, without_silence

Speak: TypeAlias = Callable[[SpeechRequest | CloneRequest, bool], Coroutine[Any, Any, Speech]]
"""Speaks a line, and is told whether something was heard of the text already."""


async def by_sentence(
    request: SpeechRequest | CloneRequest, speak: Speak
) -> AsyncIterator[SpeechChunk]:
    """Speak a text sentence by sentence, with one seed and pauses in between.

    The first one is heard when it is done; while one is heard, the next is spoken, and none beyond
    it. The price is that no sentence knows of the others: the melody starts anew at each.

    Args:
        request: The text, and how it is said.
        speak: Asked for one sentence at a time.

    Raises:
        BackendUnavailable: A fallback spoke a later sentence: the voice would change in mid-text.
        TTSError: What ``speak`` raises; it may come after sentences that were right.
    """
    parts = sentences(request.text, request.language)
    wanted = _requests(request, [part.text for part in parts])
    start, backend = 0.0, ""
    ahead = asyncio.ensure_future(speak(wanted[0], False))
    try:
        for number, part in enumerate(parts):
            speech = await ahead
            backend = backend or speech.backend
            if speech.backend != backend:
                raise _changed(backend, speech.backend)
            if number + 1 < len(parts):
                ahead = asyncio.ensure_future(speak(wanted[number + 1], True))
                ahead.add_done_callback(consume_exception)
            is_last = number + 1 == len(parts)
            samples = _joinable(speech, first=number == 0, last=is_last, pause=part.pause)
            yield SpeechChunk(
                samples=samples,
                sample_rate=speech.sample_rate,
                start=start,
                seed=speech.seed,
                backend=speech.backend,
                warnings=speech.warnings,
                model=speech.model,
            )
            start += len(samples) / speech.sample_rate
    finally:
        ahead.cancel()
        await all_ended([ahead], ahead.cancel)


def _changed(first: str, then: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"{first} spoke the beginning of the text, and a later sentence could only be spoken by "
        f"{then}: the voice would change.",
        hint="Ask again, or without a stream.",
        backend=first,
    )


def _requests(
    request: SpeechRequest | CloneRequest, texts: list[str]
) -> list[SpeechRequest | CloneRequest]:
    if len(texts) == 1:
        return [request]
    seed = fresh_seed() if request.sampling.seed is None else request.sampling.seed
    sampling = replace(request.sampling, seed=seed)
    return [replace(request, text=text, sampling=sampling, job_id=None) for text in texts]


def _joinable(speech: Speech, *, first: bool, last: bool, pause: float) -> Samples:
    spoken = without_silence(speech.samples, speech.sample_rate, before=not first, after=not last)
    return np.concatenate([spoken, np.zeros(int(pause * speech.sample_rate), np.float32)])
