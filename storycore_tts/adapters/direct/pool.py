"""Models in memory: a thread for each, and turns between them."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from storycore_tts.adapters.direct import failures
from storycore_tts.adapters.direct.batching import is_full, next_batch
from storycore_tts.adapters.direct.checkpoints import Checkpoint
from storycore_tts.adapters.direct.engine import Engine, Take
from storycore_tts.adapters.direct.jobs import Answering, Job
from storycore_tts.domain.audio import is_silent
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.sampling import fresh_seed


def _never() -> bool:
    return False


class Turn:
    """Lets one thread work at a time, in the order in which they ask."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()

    @contextmanager
    def taken(self, *, unless: Callable[[], bool] = _never) -> Iterator[None]:
        """Wait for the turn, and hold it.

        Args:
            unless: Once it is true, nothing is waited for, and the turn may be another's.
        """
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._line[0] is ticket or unless())
        try:
            yield
        finally:
            with self._changed:
                self._line.remove(ticket)
                self._changed.notify_all()

    def look_again(self) -> None:
        """Let those who wait ask their ``unless`` again."""
        with self._changed:
            self._changed.notify_all()

    def is_wanted(self) -> bool:
        """Tell whether somebody waits for the holder to give it up."""
        return len(self._line) > 1


# torch's random generators belong to the process: two generations at a time would draw from one
# row of numbers, and no seed would repeat anything. So there is one turn for all pools.
GENERATION = Turn()


@dataclass(frozen=True)
class ModelKey:
    """A model to load.

    Args:
        checkpoint: Which one.
        version: Changes when the checkpoint was written anew.
    """

    checkpoint: Checkpoint
    version: int


@dataclass(frozen=True)
class Limits:
    """How much a pool holds, and for how long.

    Args:
        models: In memory at a time.
        idle: Seconds after which an unused model is unloaded; None: never.
        batch: Lines that are spoken at once.
        window: Seconds that a line waits for others to share its batch.
        keep: Whether a model stays when it has nothing to do.
    """

    models: int
    idle: float | None
    batch: int
    window: float
    keep: bool


class Pool:
    """Workers by model, made when they are first needed.

    Args:
        limits: How much it holds, and for how long.
        load: Loads a model; called in a worker's thread, while it has the turn.
    """

    def __init__(self, limits: Limits, load: Callable[[ModelKey], Engine]) -> None:
        self.limits = limits
        self.load = load
        self.changed = threading.Condition()
        self.closed = False
        self._workers: dict[ModelKey, Worker] = {}
        _pools.add(self)

    def submit(self, key: ModelKey, job: Job) -> None:
        """Put a job into the line of its model.

        Raises:
            BackendUnavailable: The pool is closed.
        """
        with self.changed:
            if self.closed:
                raise failures.closed()
            worker = self._workers.get(key)
            if worker is None:
                worker = self._workers[key] = Worker(self, key)
            before = sum(w.length for w in self._workers.values())
            worker.add(job)
            self.changed.notify_all()
        job.tell(Progress(Stage.QUEUED, queue_position=before))

    @property
    def loaded(self) -> list[ModelKey]:
        """The models in memory."""
        with self.changed:
            return [key for key, worker in self._workers.items() if worker.engine is not None]

    @property
    def length(self) -> int:
        """Lines that wait or are being spoken."""
        with self.changed:
            return sum(worker.length for worker in self._workers.values())

    @contextmanager
    def cleared(self, *, unless: Callable[[], bool] = _never) -> Iterator[None]:
        """Wait for the turn, unload all models, and hold the turn: nothing is spoken meanwhile.

        Args:
            unless: True when nobody wants it any more.

        Raises:
            BackendUnavailable: Nobody wants it any more, or the pool is closed.
        """
        with GENERATION.taken(unless=lambda: self.closed or unless()):
            if self.closed or unless():
                raise failures.closed()
            self._unload_all_but(0)
            yield

    def make_room(self) -> None:
        """Unload those that were used least recently, so that one more fits; needs the turn."""
        self._unload_all_but(self.limits.models - 1)

    def leave(self, worker: Worker) -> None:
        """Forget a worker that has ended; ``changed`` is held."""
        self._workers.pop(worker.key, None)
        self.changed.notify_all()

    def close(self) -> None:
        """Stop within three steps, end all threads, and free all memory; blocks until it is so.

        What other pools do is not waited for: it may be a training.
        """
        with self.changed:
            self.closed = True
            workers = list(self._workers.values())
            for worker in workers:
                worker.refuse_all(failures.closed())
            self.changed.notify_all()
        GENERATION.look_again()
        for worker in workers:
            worker.thread.join()

    def _unload_all_but(self, keep: int) -> None:
        with self.changed:
            loaded = [w for w in self._workers.values() if w.engine is not None]
        loaded.sort(key=lambda worker: worker.last_used)
        for worker in loaded[: max(0, len(loaded) - keep)]:
            worker.unload()


class Worker:
    """The thread of one model, and the line of jobs before it.

    Args:
        pool: Where it belongs.
        key: Its model.
    """

    def __init__(self, pool: Pool, key: ModelKey) -> None:
        self.key = key
        self.engine: Engine | None = None
        self.last_used = 0.0
        self._pool = pool
        self._waiting: list[Job] = []
        self._speaking: Sequence[Job] = ()
        # A daemon, so that a program which forgets to close the adapter can end; see _close_all.
        name = f"storycore-tts-direct {key.checkpoint.name}"
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    @property
    def length(self) -> int:
        """Jobs that wait or are being spoken, and are still wanted."""
        return sum(not job.cancelled for job in (*self._speaking, *self._waiting))

    def add(self, job: Job) -> None:
        """Put a job at the end of the line; ``changed`` is held."""
        self._waiting.append(job)

    def refuse_all(self, error: Exception) -> None:
        """End all jobs with an error, the one being spoken too; ``changed`` is held."""
        for job in (*self._speaking, *self._waiting):
            job.fail(error)
            job.cancel()

    def unload(self) -> None:
        """Give the model's memory back; needs the turn, but for a pool that is closed."""
        with self._pool.changed:  # closed, it may be told so by two threads at once
            engine, self.engine = self.engine, None
        if engine is not None:
            engine.unload()
            with self._pool.changed:
                self._pool.changed.notify_all()

    def _work(self) -> None:
        pool = self._pool
        while True:
            if self._jobs_came():
                with GENERATION.taken(unless=lambda: pool.closed):
                    self._take_turn()
            else:
                with GENERATION.taken(unless=lambda: pool.closed):
                    self.unload()
                if self._left():
                    return

    def _jobs_came(self) -> bool:
        """Wait for a job; False when none came for too long, or when the pool is closed."""
        pool = self._pool
        with pool.changed:
            pool.changed.wait_for(lambda: self._waiting or pool.closed, pool.limits.idle)
            return bool(self._waiting) and not pool.closed

    def _left(self) -> bool:
        """Leave the pool, unless a job came meanwhile; whoever comes later makes a new worker."""
        with self._pool.changed:
            if self._waiting and not self._pool.closed:
                return False
            self._pool.leave(self)
            return True

    def _take_turn(self) -> None:
        """Speak what waits; where others wait for the turn, only what waited when it began.

        So models change as seldom as can be, and none of them is waited for without end.
        """
        began = time.perf_counter()
        while self._collect():
            oldest = self._waiting[0].submitted
            if GENERATION.is_wanted() and oldest > began:
                return
            self._speak_next()
        if not self._pool.limits.keep:
            self.unload()

    def _collect(self) -> bool:
        """Let a batch fill up for the length of the window; False when no job is left."""
        limits, changed = self._pool.limits, self._pool.changed
        with changed:
            while True:
                self._waiting = [job for job in self._waiting if not job.cancelled]
                if not self._waiting:
                    return False
                left = self._waiting[0].submitted + limits.window - time.perf_counter()
                if left <= 0 or is_full(self._waiting, most=limits.batch) or self._pool.closed:
                    return True
                changed.wait(left)

    def _speak_next(self) -> None:
        with self._pool.changed:
            batch = next_batch(self._waiting, most=self._pool.limits.batch)
            self._speaking = batch
            self._waiting = [job for job in self._waiting if job not in batch]
        try:
            with Answering(batch):
                self._speak(batch)
        finally:
            self.last_used = time.monotonic()
            with self._pool.changed:
                self._speaking = ()
                self._pool.changed.notify_all()

    def _speak(self, batch: Sequence[Job]) -> None:
        for job in batch:
            job.begin()
        if self.engine is None:
            for job in batch:
                job.tell(Progress(Stage.LOADING))
            self._pool.make_room()
            self.engine = self._pool.load(self.key)
        for job in batch:
            job.add_warnings(self.engine.placement.warnings)
            job.tell(Progress(Stage.GENERATING, fraction=0.0))
        seed = batch[0].seed if batch[0].seed is not None else fresh_seed()
        for job, take in zip(batch, self.engine.speak(batch, seed), strict=False):
            self._settle(job, take, seed)

    def _settle(self, job: Job, take: Take, seed: int) -> None:
        """End a job with what came of it, or put it back for another try."""
        if take.ran_away and job.try_again(seed):
            with self._pool.changed:
                self._waiting.insert(0, job)
        elif take.ran_away:
            job.fail(failures.runaway(take.seconds, job.line.budget))
        elif not job.streamed and is_silent(take.samples):
            job.fail(failures.silence(take.seconds))
        else:
            job.tell(Progress(Stage.GENERATING, fraction=1.0))
            job.finish(take.samples, seed)


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stop what still speaks: a thread that is cut off inside torch aborts the whole process."""
    for pool in list(_pools):
        pool.close()
