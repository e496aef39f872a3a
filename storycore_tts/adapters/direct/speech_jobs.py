"""Work on its way: asked for on an event loop, done in a thread."""

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

_ATTEMPTS = 2  # of a line that runs away: the second is with another seed
_MOST_NEWS = 1000  # unread; beyond it, newer progress takes the place of the last


@dataclass(frozen=True)
class Line:
    """What is to be said, and how.

    Args:
        text: The words.
        language: In the model's spelling.
        sampling: How tokens are drawn.
        budget: Talker tokens that it may cost.
        speaker: In the checkpoint's spelling; "" for a clone.
        instruct: How to say it, in words.
        reference: The recording to clone.
        x_vector_only: Take the timbre alone.
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

        What each line has for itself does not count: its seed, and its budget.
        """
        drawn = replace(self.sampling, seed=None, max_new_tokens=Sampling.max_new_tokens)
        return (self.reference is None, self.x_vector_only, drawn)

    @property
    def seconds(self) -> float:
        """How long it takes to say at an ordinary pace."""
        return reading_seconds(self.text)


@dataclass(frozen=True)
class Spoken:
    """What a job ends with.

    Args:
        samples: At 24 kHz; empty for a stream, whose pieces were delivered before.
        seed: The seed that was used.
        warnings: What was done in spite of doubts.
        queued: Seconds until its batch began.
        generating: Seconds from there to the end.
    """

    samples: Samples
    seed: int
    warnings: tuple[str, ...]
    queued: float
    generating: float


@dataclass(frozen=True)
class Piece:
    """Samples of a stream at 24 kHz, and what is known about the line by then."""

    samples: Samples
    seed: int
    warnings: tuple[str, ...]


News: TypeAlias = Progress | Piece


Result = TypeVar("Result")


class PoolCall(Generic[Result]):
    """Work in a thread, and the caller on the event loop on which this was made.

    ``tell``, ``end`` and ``fail`` may be called in any thread. News that the caller has not read
    yet is bounded: progress by a fixed number, the pieces of a stream by the line's token budget.
    """

    def __init__(self) -> None:
        self.cancelled = False
        """The caller has left; the work asks for this between its steps."""
        self.on_cancel: Callable[[], None] | None = None
        """Called once the caller has left, so that nothing is kept or waited for in vain."""
        self._mail: deque[News] = deque()
        self._end: Result | BaseException | None = None
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    async def heard(self) -> list[News]:
        """Wait for news and return it; nothing more will come after an empty list."""
        while not self._mail and self._end is None:
            await self._woken.wait()
            self._woken.clear()
        with self._lock:
            news = list(self._mail)
            self._mail.clear()
        return news

    def result(self) -> Result:
        """Return what the work ended with, or raise it."""
        assert self._end is not None, "the work has not ended"
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end

    def cancel(self) -> None:
        """Stop the work; called when the caller leaves, also after the end."""
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
        """End with a result, if it has not ended before."""
        self._settle(result)

    def fail(self, error: BaseException) -> None:
        """End with an error, if it has not ended before."""
        self._settle(error)

    def _settle(self, end: Result | BaseException) -> None:
        with self._lock:
            if self._end is None:
                self._end = end
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:  # the loop was closed: the caller is gone
            self.cancelled = True


class SpeechJob(PoolCall[Spoken]):
    """A line on its way; once it is cancelled, the pool stops within three steps.

    Args:
        line: What is to be said.
        streamed: Whether its samples are delivered while they are made.
    """

    def __init__(self, line: Line, *, streamed: bool = False) -> None:
        super().__init__()
        self.line = line
        self.streamed = streamed
        self.seed = line.sampling.seed
        """The seed that the next attempt must use, or None for any."""
        self.warnings: tuple[str, ...] = ()
        self.arrival = 0
        """Its number in the order of arrival."""
        self.submitted = 0.0
        """When it came, on the pool's clock."""
        self._began: float | None = None
        self._attempts = 0

    @property
    def alone(self) -> bool:
        """It shares no batch: a fixed seed repeats only alone, and a stream starts at once."""
        return self.streamed or self.seed is not None

    def begin(self, now: float) -> None:
        """Note that an attempt begins."""
        self._attempts += 1
        if self._began is None:
            self._began = now

    def add_warnings(self, warnings: Sequence[str]) -> None:
        """Add warnings that the result is to carry, once each."""
        self.warnings = tuple(dict.fromkeys((*self.warnings, *warnings)))

    def finish(self, samples: Samples, seed: int, now: float) -> None:
        """End with audio."""
        began = self.submitted if self._began is None else self._began
        self.end(Spoken(samples, seed, self.warnings, began - self.submitted, now - began))

    def try_again(self, seed: int) -> bool:
        """Prepare for another attempt, after one with ``seed`` ran away; False if it was the last.

        Where the caller fixed the seed, the next one is the next number, so that the same request
        still gives the same samples.
        """
        if self.streamed or self._attempts >= _ATTEMPTS:
            return False
        if self.seed is not None:
            self.seed = (self.seed + 1) % (MAX_SEED + 1)
        told = f"with the seed {seed} the model did not stop speaking; another one was taken"
        self.add_warnings([told])
        return True


class Answer(Protocol):
    """What can end with an error."""

    def fail(self, error: BaseException) -> None:
        """End with it."""


class Answering:
    """A context whose errors go to those who wait for an answer; the thread goes on.

    Args:
        answers: What they wait for.
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
