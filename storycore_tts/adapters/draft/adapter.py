"""The draft adapter: the speech port on espeak-ng."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from storycore_tts.adapters.draft.calls import BACKEND, EspeakCall, WaitingLine, closed_error
from storycore_tts.adapters.draft.espeak import (
    EspeakError,
    EspeakUnavailable,
    EspeakVoice,
    speak,
    version,
)
from storycore_tts.adapters.draft.voices import (
    SPEAKERS,
    language_of,
    letters_not_read,
    voice_for,
)
from storycore_tts.domain.languages import AUTO
from storycore_tts.domain.markup import without_markup
from storycore_tts.domain.progress import OnProgress, Progress, Stage
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech, Timings
from storycore_tts.domain.voices import Speaker, described, find_speaker
from storycore_tts.errors import (
    BackendUnavailable,
    GenerationFailed,
    SilentAudio,
    UnsupportedByBackend,
)
from storycore_tts.ports import BackendStatus, Capabilities, Problem
from storycore_tts.sound.samples import SAMPLE_RATE, is_silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storycore_tts.sound.samples import Samples

_MODEL = "espeak-ng"
_UNCLEAR = "the language is not clear from the text, so it is read as English; name the language"
_ADVICE = "Run: pip install 'storycore-tts[draft]'"


class Speak(Protocol):
    """The signature of ``espeak.speak``, which tests replace."""

    def __call__(
        self,
        text: str,
        voice: EspeakVoice,
        *,
        cancelled: Callable[[], bool],
        on_fraction: Callable[[float], None],
    ) -> tuple[NDArray[np.float32], int]:
        """Return mono samples and their rate in Hz."""


class DraftAdapter:
    """Speaks with espeak-ng, one call at a time, each in its own thread.

    The same request always gives the same samples. The nine speakers differ audibly, and sound
    robotic.

    Args:
        words_per_minute: Pace in words per minute, 80..450.
        speak: The function that synthesizes speech.
        clock: Returns seconds, for the timings.
    """

    def __init__(
        self,
        *,
        words_per_minute: int = 165,
        speak: Speak = speak,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._words_per_minute = words_per_minute
        self._speak = speak
        self._clock = clock
        self._line = WaitingLine()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        """Speech only: no cloning, no training, no ``instruct``.

        ``max_new_tokens`` is enforced by the request itself.
        """
        return Capabilities(speech=True, parameters=frozenset({"max_new_tokens"}))

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """Speak a line. Cancelling the task stops the synthesis within milliseconds.

        Raises:
            UnsupportedByBackend: The request names a checkpoint.
            UnknownSpeaker: The speaker is not one of the nine.
            BackendUnavailable: The extra is not installed, or the adapter is closed.
            SilentAudio: espeak-ng cannot pronounce any of the text.
            GenerationFailed: espeak-ng failed.
        """
        speaker = _checked_speaker(request)
        report = on_progress or _ignore
        called = self._clock()
        async with self._line.turn(lambda n: report(Progress(Stage.QUEUED, queue_position=n))):
            started = self._clock()
            language, doubts = await _language(request)
            voice = voice_for(speaker, language, words_per_minute=self._words_per_minute)
            samples, model = await self._spoken(
                request.text, voice, lambda f: report(Progress(Stage.GENERATING, fraction=f))
            )
            ended = self._clock()
        return Speech(
            samples=samples,
            sample_rate=SAMPLE_RATE,
            backend=BACKEND,
            model=model,
            speaker=speaker,
            language=language,
            timings=Timings(
                queued=started - called, generating=ended - started, total=ended - called
            ),
            warnings=(*doubts, *_warnings(request, language)),
            source_type="algorithmicMedia",
        )

    async def speakers(self) -> list[Speaker]:
        """List the nine speakers; does not need the library."""
        return [described(name) for name in SPEAKERS]

    async def status(self) -> BackendStatus:
        """Check whether the library is installed."""
        try:
            found = await asyncio.to_thread(_probe)
        except BackendUnavailable as error:
            problem = Problem(error.message, error.hint or "")
            return BackendStatus(BACKEND, reachable=False, problems=(problem,))
        return BackendStatus(
            BACKEND,
            reachable=not self._closed,
            version=found,
            device="cpu",
            models=(_MODEL,),
            queue_length=len(self._line),
        )

    async def aclose(self) -> None:
        """Stop the call in progress and wait for its thread. Safe to call twice."""
        with self._lock:
            self._closed = True
            threads = tuple(self._threads)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    async def _spoken(
        self, text: str, voice: EspeakVoice, on_fraction: Callable[[float], None]
    ) -> tuple[Samples, str]:
        """Return the samples at 24 kHz and the model's name; reports progress on the event loop."""
        work = EspeakCall(lambda: self._closed, on_fraction)
        thread = threading.Thread(
            target=self._in_thread, args=(work, text, voice), name="storycore-tts-draft"
        )
        with self._lock:
            if self._closed:
                raise closed_error()
            thread.start()
            # Finished threads may still be ending; closing waits for them too.
            self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        return await work.done()

    def _in_thread(self, work: EspeakCall, text: str, voice: EspeakVoice) -> None:
        with work:
            work.end(_made(self._speak, text, voice, work))


def _checked_speaker(request: SpeechRequest) -> str:
    if request.checkpoint is not None:
        raise UnsupportedByBackend(
            f"The draft voices cannot load the checkpoint {request.checkpoint!r}.",
            hint="Use the comfyui backend for fine-tuned voices.",
            backend=BACKEND,
        )
    return find_speaker(request.speaker, SPEAKERS, backend=BACKEND)


async def _language(request: SpeechRequest) -> tuple[str, tuple[str, ...]]:
    """Return the language to speak, and warnings about the choice."""
    if request.language != AUTO:
        return request.language, ()
    try:
        found = await asyncio.to_thread(language_of, without_markup(request.text))
    except ImportError:  # older versions of the extra lack this package
        return "English", (f"{_UNCLEAR} (py3langid, which detects it, is not installed)",)
    except OSError as error:  # it unpacks its model into the temp folder
        return "English", (f"{_UNCLEAR} (py3langid, which detects it, failed: {error.strerror})",)
    return (found, ()) if found else ("English", (_UNCLEAR,))


def _warnings(request: SpeechRequest, language: str) -> tuple[str, ...]:
    found = [
        f"{letters} are spelled or named, not read: this draft voice does not know them"
        for letters in letters_not_read(request.text, language)
    ]
    if request.instruct:
        found.append("instruct was ignored: draft voices cannot act")
    return tuple(found)


def _made(speak: Speak, text: str, voice: EspeakVoice, work: EspeakCall) -> tuple[Samples, str]:
    """Speak and resample. Runs in its own thread."""
    model = f"{_MODEL} {_probe()}"
    try:
        samples, rate = speak(text, voice, cancelled=work.cancelled, on_fraction=work.reach)
    except EspeakUnavailable as error:
        raise _unavailable(str(error)) from error
    except EspeakError as error:
        raise GenerationFailed(str(error), backend=BACKEND) from error
    if is_silent(samples):
        raise SilentAudio(
            "espeak-ng found nothing in the text that it can pronounce.",
            hint="Pass at least one word in a language that it knows.",
            backend=BACKEND,
            retryable=False,
        )
    return _resampled(samples, rate), model


def _probe() -> str:
    """Return the version of espeak-ng; raises if a required package is missing."""
    try:
        import soxr  # noqa: F401

        return version()
    except ImportError as error:
        raise _unavailable("The package soxr is not installed.") from error
    except EspeakUnavailable as error:
        raise _unavailable(str(error)) from error


def _resampled(samples: Samples, rate: int) -> Samples:
    import numpy as np
    import soxr

    resampled = soxr.resample(samples, rate, SAMPLE_RATE)
    clipped: Samples = np.clip(resampled, -1.0, 1.0).astype(np.float32, copy=False)
    return clipped  # the filter overshoots at full scale


def _unavailable(message: str) -> BackendUnavailable:
    return BackendUnavailable(message, hint=_ADVICE, backend=BACKEND, retryable=False)


def _ignore(_: Progress) -> None:
    pass
