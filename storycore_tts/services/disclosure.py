"""Puts a spoken notice in front of speech: that it was generated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from storycore_tts.domain.disclosure import Disclosure, Notice, default_notice
from storycore_tts.domain.languages import AUTO
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest, check_range
from storycore_tts.ports.operations import LineRequest
from storycore_tts.services.speech import TextToSpeech

PAUSE = 0.4
"""Seconds between the notice and the speech."""


async def spoken_notice(tts: TextToSpeech, disclosure: Disclosure, line: LineRequest) -> Speech:
    """Generate the notice, with its own voice.

    Args:
        tts: The service.
        disclosure: What it says, and who says it.
        line: The line that it precedes, which decides its language.

    Raises:
        TTSError: See ``TextToSpeech.request_for`` and ``TextToSpeech.speak``.
    """
    text, language = disclosure.text, line.language
    if text is None:
        text, language = default_notice(language), "English" if language == AUTO else language
    request = await tts.request_for(
        text,
        speaker=disclosure.speaker,
        language=language,
        project=line.project,
        purpose=line.purpose,
        owner=disclosure.owner,
    )
    return await tts.speak(request)


def disclosed(speech: Speech, notice: Speech, *, pause: float = PAUSE) -> Speech:
    """Return speech with a notice in front of it: one recording, to be marked as one file.

    Change its speed and pitch before: the notice must remain intelligible.

    Args:
        speech: The speech.
        notice: The spoken notice, from ``spoken_notice`` or any other speech.
        pause: Seconds of silence between them, 0..10.

    Raises:
        InvalidRequest: Their sample rates differ, or the pause is out of range.
    """
    check_range("pause", pause, 0, 10)
    if notice.sample_rate != speech.sample_rate:
        raise InvalidRequest(
            f"The notice has {notice.sample_rate} Hz and the speech {speech.sample_rate} Hz.",
            hint="Generate both with the same backend, before one of them is resampled.",
        )
    silence = np.zeros(round(pause * speech.sample_rate), np.float32)
    trained = "trainedAlgorithmicMedia" in (notice.source_type, speech.source_type)
    return replace(
        speech,
        samples=np.concatenate([notice.samples, silence, speech.samples]),
        warnings=(*(f"disclosure: {one}" for one in notice.warnings), *speech.warnings),
        source_type="trainedAlgorithmicMedia" if trained else speech.source_type,
        notice=Notice(
            notice.request.text if notice.request else "", notice.duration, notice.request
        ),
    )
