"""The speech port over espeak-ng."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from storycore_tts.adapters.draft.espeak import (
    EspeakError,
    EspeakUnavailable,
    EspeakVoice,
    SpeakCancelled,
    speak,
    version,
)
from storycore_tts.adapters.draft.voices import SPEAKERS, letters_not_read, voice_for
from storycore_tts.domain.audio import SAMPLE_RATE, is_silent
from storycore_tts.domain.errors import (
    BackendUnavailable,
    GenerationFailed,
    SilentAudio,
    UnsupportedByBackend,
)
from storycore_tts.domain.progress import OnProgress, Progress, Stage
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech, Timings
from storycore_tts.domain.voices import Speaker, described, find_speaker
from storycore_tts.ports import BackendStatus, Capabilities, Problem

if TYPE_CHECKING:
    from storycore_tts.domain.audio import Samples

BACKEND = "draft"
_MODEL = "espeak-ng"
_ADVICE = "Run: pip install 'storycore-tts[draft]'"


class DraftAdapter:
    """Speaks with espeak-ng, one call after the other, in a thread of its own.

    The same request always gives the same samples. The nine speakers differ audibly, and sound
    like a machine.

    Args:
        words_per_minute: Pace, 80..450.
    """

    def __init__(self, *, words_per_minute: int = 165) -> None:
        self._words_per_minute = words_per_minute
        self._line = _Line()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storycore-tts-draft")
        self._closed = threading.Event()

    @property
    def capabilities(self) -> Capabilities:
        """Speech and nothing else: no cloning, no training, no ear for ``instruct``."""
        return Capabilities(speech=True)

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """Speak; cancelling the task stops the synthesis within milliseconds.

        Raises:
            UnsupportedByBackend: A checkpoint was asked for.
            UnknownSpeaker: It is none of the nine.
            BackendUnavailable: The extra is not installed, or the adapter is closed.
            SilentAudio: espeak-ng knows no way to say any of the text.
            GenerationFailed: espeak-ng refused.
        """
        speaker = _checked_speaker(request)
        voice = voice_for(
            speaker,
            request.language,
            text=request.text,
            words_per_minute=self._words_per_minute,
        )
        report = on_progress or _ignore
        called = time.perf_counter()
        async with self._line.turn(lambda n: report(Progress(Stage.QUEUED, queue_position=n))):
            started = time.perf_counter()
            samples, model = await self._spoken(
                request.text, voice, lambda f: report(Progress(Stage.GENERATING, fraction=f))
            )
            ended = time.perf_counter()
        return Speech(
            samples=samples,
            sample_rate=SAMPLE_RATE,
            backend=BACKEND,
            model=model,
            speaker=speaker,
            language=request.language,
            timings=Timings(
                queued=started - called, generating=ended - started, total=ended - called
            ),
            warnings=_warnings(request),
        )

    async def speakers(self) -> list[Speaker]:
        """List the nine; they are known without the library."""
        return [described(name) for name in SPEAKERS]

    async def status(self) -> BackendStatus:
        """Look whether the library is there."""
        try:
            found = await asyncio.to_thread(_probe)
        except BackendUnavailable as error:
            problem = Problem(error.message, error.hint or "")
            return BackendStatus(BACKEND, reachable=False, problems=(problem,))
        return BackendStatus(
            BACKEND,
            reachable=not self._closed.is_set(),
            version=found,
            device="cpu",
            models=(_MODEL,),
            queue_length=len(self._line),
        )

    async def aclose(self) -> None:
        """Stop what is being spoken and end the thread; safe to call twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            # Comes after the call that still runs, so that nothing blocks the event loop below.
            await asyncio.get_running_loop().run_in_executor(self._thread, _nothing)
        finally:
            self._thread.shutdown()  # joins a thread that has nothing left to do

    async def _spoken(
        self, text: str, voice: EspeakVoice, on_fraction: Callable[[float], None]
    ) -> tuple[Samples, str]:
        """Return the samples at 24 kHz and the model's name; reports on the event loop."""
        if self._closed.is_set():
            raise _closed()
        on_fraction(0.0)
        loop, stop, news = asyncio.get_running_loop(), threading.Event(), asyncio.Event()
        reached = reported = 0.0

        def reach(fraction: float) -> None:  # in the thread
            nonlocal reached
            if fraction >= reached + 0.01:
                reached = fraction
                try:
                    loop.call_soon_threadsafe(news.set)
                except RuntimeError:  # the loop was closed over our head
                    stop.set()

        job = loop.run_in_executor(
            self._thread,
            lambda: _work(text, voice, lambda: stop.is_set() or self._closed.is_set(), reach),
        )
        job.add_done_callback(lambda _: news.set())
        try:
            while not job.done():
                await news.wait()
                news.clear()
                if reported < reached < 1:
                    reported = reached
                    on_fraction(reported)
            result = job.result()
        except SpeakCancelled:  # by aclose: whoever cancels the task never sees this
            raise _closed() from None
        finally:
            stop.set()
            job.cancel()
        on_fraction(1.0)
        return result


class _Line:
    """Calls that wait for their turn, first come, first served; each on an event loop of its own.

    Those who share settings share the adapter, and some of them have a loop in another thread.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def __len__(self) -> int:
        return len(self._calls)

    @asynccontextmanager
    async def turn(self, on_position: Callable[[int], None]) -> AsyncIterator[None]:
        """Wait until no earlier call is left.

        Args:
            on_position: Told, at each change, how many calls are before this one, the one that
                speaks among them.
        """
        moved = asyncio.Event()
        call = (asyncio.get_running_loop(), moved)
        self._calls.append(call)
        try:
            while (earlier := self._calls.index(call)) > 0:
                on_position(earlier)
                await moved.wait()
                moved.clear()
            yield
        finally:
            self._calls.remove(call)
            for loop, event in tuple(self._calls):
                with suppress(RuntimeError):  # the loop was closed over our head
                    loop.call_soon_threadsafe(event.set)


def _checked_speaker(request: SpeechRequest) -> str:
    if request.checkpoint is not None:
        raise UnsupportedByBackend(
            f"The draft voices cannot load the checkpoint {request.checkpoint!r}.",
            hint="Use the comfyui backend for fine-tuned voices.",
            backend=BACKEND,
        )
    return find_speaker(request.speaker, SPEAKERS, backend=BACKEND)


def _warnings(request: SpeechRequest) -> tuple[str, ...]:
    found = [
        f"{letters} are spelled or named, not read: this draft voice does not know them"
        for letters in letters_not_read(request.text, request.language)
    ]
    if request.instruct:
        found.append("instruct was ignored: draft voices cannot act")
    return tuple(found)


def _work(
    text: str,
    voice: EspeakVoice,
    cancelled: Callable[[], bool],
    on_fraction: Callable[[float], None],
) -> tuple[Samples, str]:
    """Speak and resample; runs in the adapter's thread."""
    model = f"{_MODEL} {_probe()}"
    try:
        samples, rate = speak(text, voice, cancelled=cancelled, on_fraction=on_fraction)
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
    """Return the version of espeak-ng, if all that it takes to speak is there."""
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
    return clipped  # the filter overshoots where espeak-ng is at full scale


def _unavailable(message: str) -> BackendUnavailable:
    return BackendUnavailable(message, hint=_ADVICE, backend=BACKEND, retryable=False)


def _closed() -> BackendUnavailable:
    return BackendUnavailable("The draft adapter is closed.", backend=BACKEND, retryable=False)


def _ignore(_: Progress) -> None:
    pass


def _nothing() -> None:
    pass
