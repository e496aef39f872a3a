"""Jobs that are requested on an event loop and run in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeAlias, TypeVar

from storycore_tts.domain.progress import Progress
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.sampling import MAX_SEED, Sampling
from storycore_tts.domain.text import reading_seconds
from storycore_tts.sound.samples import Samples

_ATTEMPTS = 2  # for a line that runs away; the second uses another seed
_MOST_NEWS = 1000  # unread items; then new progress replaces the latest


@dataclass(frozen=True)
class PreparedLine:
    """A text to speak, and how.

    Args:
        text: The text.
        language: The model's name of the language.
        sampling: Sampling parameters.
        budget: Maximum number of talker tokens.
        speaker: The checkpoint's name of the speaker; "" for a clone.
        instruct: Style instruction in words.
        reference: The recording to clone.
        x_vector_only: Clone only the timbre.
    """

    text: str
    language: str
    sampling: Sampling
    budget: int
    speaker: str = ""
    instruct: str = ""
    reference: ReferenceAudio | None = None
    x_vector_only: bool = False

    @property
    def batch_key(self) -> tuple[object, ...]:
        """Equal for lines that can share a batch: same mode, same sampling.

        Excludes the seed and the budget, which each line has for itself.
        """
        drawn = replace(self.sampling, seed=None, max_new_tokens=Sampling.max_new_tokens)
        return (self.reference is None, self.x_vector_only, drawn)

    @property
    def seconds(self) -> float:
        """Estimated duration in seconds at an ordinary pace."""
        return reading_seconds(self.text)


@dataclass(frozen=True)
class Spoken:
    """The result of a job.

    Args:
        samples: Audio at 24 kHz; empty for a stream, whose pieces were already delivered.
        seed: The seed that was used.
        warnings: Warnings for the caller.
        queued: Seconds until its batch began.
        generating: Seconds from then to the end.
    """

    samples: Samples
    seed: int
    warnings: tuple[str, ...]
    queued: float
    generating: float


@dataclass(frozen=True)
class StreamedPiece:
    """Samples of a stream at 24 kHz, with the line's metadata so far."""

    samples: Samples
    seed: int
    warnings: tuple[str, ...]


News: TypeAlias = Progress | StreamedPiece


Result = TypeVar("Result")


class PoolCall(Generic[Result]):
    """Connects work in a thread with its caller on the event loop that created this object.

    ``tell``, ``end`` and ``fail`` are thread-safe. Unread news is bounded: progress by a fixed
    number, the pieces of a stream by the line's token budget.
    """

    def __init__(self) -> None:
        self.cancelled = False
        """Whether the call was cancelled; the work checks it between steps."""
        self.on_cancel: Callable[[], None] | None = None
        """Called on cancellation, so that queued work is released at once."""
        self._mail: deque[News] = deque()
        self._end: Result | BaseException | None = None
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    async def heard(self) -> list[News]:
        """Wait for news and return it; an empty list means that the work has ended."""
        while not self._mail and self._end is None:
            await self._woken.wait()
            self._woken.clear()
        with self._lock:
            news = list(self._mail)
            self._mail.clear()
        return news

    def result(self) -> Result:
        """Return the work's result, or raise its error."""
        assert self._end is not None, "the work has not ended"
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end

    def cancel(self) -> None:
        """Stop the work. Called when the caller leaves, even after the end."""
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()

    def tell(self, news: News) -> None:
        """Send news to the caller."""
        with self._lock:
            full = len(self._mail) >= _MOST_NEWS and isinstance(news, Progress)
            if full and isinstance(self._mail[-1], Progress):
                self._mail[-1] = news
            else:
                self._mail.append(news)
        self._wake()

    def end(self, result: Result) -> None:
        """Finish with a result, unless it has already finished."""
        self._settle(result)

    def fail(self, error: BaseException) -> None:
        """Finish with an error, unless it has already finished."""
        self._settle(error)

    def _settle(self, end: Result | BaseException) -> None:
        with self._lock:
            if self._end is None:
                self._end = end
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:  # the event loop is closed
            self.cancelled = True


class SpeechJob(PoolCall[Spoken]):
    """A line that is queued or running; after cancellation, the pool stops within three steps.

    Args:
        line: The line to speak.
        streamed: Whether samples are delivered while they are generated.
    """

    def __init__(self, line: PreparedLine, *, streamed: bool = False) -> None:
        super().__init__()
        self.line = line
        self.streamed = streamed
        self.seed = line.sampling.seed
        """The seed that the next attempt must use; None: any."""
        self.warnings: tuple[str, ...] = ()
        self.arrival = 0
        """Its position in the order of arrival."""
        self.submitted = 0.0
        """When it arrived, in seconds on the pool's clock."""
        self._began: float | None = None
        self._attempts = 0

    @property
    def alone(self) -> bool:
        """Whether it is never batched: fixed seeds reproduce only alone; streams start at once."""
        return self.streamed or self.seed is not None

    def begin(self, now: float) -> None:
        """Record that an attempt begins."""
        self._attempts += 1
        if self._began is None:
            self._began = now

    def add_warnings(self, warnings: Sequence[str]) -> None:
        """Add warnings to the result, without duplicates."""
        self.warnings = tuple(dict.fromkeys((*self.warnings, *warnings)))

    def finish(self, samples: Samples, seed: int, now: float) -> None:
        """Finish with audio."""
        began = self.submitted if self._began is None else self._began
        self.end(Spoken(samples, seed, self.warnings, began - self.submitted, now - began))

    def try_again(self, seed: int) -> bool:
        """Prepare another attempt after one with ``seed`` ran away; False if none is left.

        If the caller fixed the seed, the next attempt uses the next integer, so that the same
        request still gives the same samples.
        """
        if self.streamed or self._attempts >= _ATTEMPTS:
            return False
        if self.seed is not None:
            self.seed = (self.seed + 1) % (MAX_SEED + 1)
        told = f"with the seed {seed} the model did not stop speaking; another seed was used"
        self.add_warnings([told])
        return True


class Answer(Protocol):
    """Work that can fail with an error."""

    def fail(self, error: BaseException) -> None:
        """Finish with an error."""


class Answering:
    """A context manager that passes errors to the waiting callers, so that the thread goes on.

    Args:
        answers: The calls that fail with the error.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if error is not None:
            for answer in self._answers:
                answer.fail(error)
        return isinstance(error, Exception)
