"""Refuses lines in voices whose use was not, or is no longer, agreed to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from storycore_tts.domain.consent import AtOnce
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.errors import ConsentRefused
from storycore_tts.pipeline.calls import Call, Send, StartedStream, with_warnings
from storycore_tts.ports import SpeechChunk
from storycore_tts.ports.consent import ConsentRecords
from storycore_tts.ports.operations import LineRequest

NOT_STATED = (
    "the request does not state the speaker's consent (consent, --consent); see "
    "tts.qwen.consent.at_once"
)
"""Warning for a clone of a recording that was sent without a statement."""

_log = logging.getLogger(__name__)


class ConsentCheck:
    """Checks consent before a call, and again before its result or each chunk is delivered.

    So a result is dropped if the consent was revoked during the generation.

    Args:
        records: Returns the records in use.
        at_once: Returns what happens to a clone whose request states no consent.
    """

    def __init__(
        self, records: Callable[[], ConsentRecords], at_once: Callable[[], AtOnce]
    ) -> None:
        self._records = records
        self._at_once = at_once

    async def __call__(self, call: Call, send: Send) -> Any:
        """Make the call if there is consent."""
        request = call.request
        if not needs_consent(request):
            return await send(call)
        await self.check(request)
        unstated = _is_unstated(request) and self._at_once() == "warned"
        result = await send(call)
        if isinstance(result, StartedStream):
            result = StartedStream(self._checked(result, request))
        else:
            await self.check(request)
        return with_warnings(result, (NOT_STATED,) if unstated else ())

    async def check(self, request: LineRequest) -> None:
        """Check that a line may be spoken now.

        Args:
            request: The line.

        Raises:
            ConsentRefused: See ``ConsentRecords.check``; or the request states no consent, which
                the settings require.
            StorageFailed: See ``ConsentRecords.check``.
        """
        if not needs_consent(request):
            return
        try:
            if _is_unstated(request) and self._at_once() == "required":
                raise ConsentRefused(
                    "A recording can be cloned only with a statement of the speaker's consent.",
                    hint="Say who agreed, and when, in consent (--consent): 'my own voice, "
                    "recorded on 2026-11-20'. tts.qwen.consent.at_once requires it.",
                )
            await asyncio.to_thread(self._records().check, request)
        except ConsentRefused:
            given = request.voice_consent and request.voice_consent.id
            log_event(_log, logging.WARNING, "consent.refused", consent=given)
            raise

    async def _checked(
        self, stream: StartedStream, request: LineRequest
    ) -> AsyncGenerator[SpeechChunk, None]:
        async with aclosing(stream.chunks):
            async for chunk in stream.chunks:
                await self.check(request)
                yield chunk


def needs_consent(request: object) -> bool:
    """Return whether a request may need consent: a clone, or a fine-tuned voice."""
    if isinstance(request, SpeechRequest):
        return request.checkpoint is not None or request.voice_consent is not None
    return isinstance(request, CloneRequest)


def _is_unstated(request: LineRequest) -> bool:
    return (
        isinstance(request, CloneRequest) and request.voice_consent is None and not request.consent
    )
