"""Loaded models and the worker thread that uses them.

A pool has one thread, which runs while a model is loaded or work is queued. Only this thread makes
decisions: it holds the turn and the lock, looks at all work queued *now*, and acts on it. So no
model is unloaded because of a state from before a wait.
"""

from __future__ import annotations

import atexit
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from storycore_tts.adapters.direct import failures
from storycore_tts.adapters.direct.batching import is_full, next_batch
from storycore_tts.adapters.direct.checkpoints import Checkpoint
from storycore_tts.adapters.direct.engine import Engine, GeneratedAudio, give_back_memory
from storycore_tts.adapters.direct.speech_jobs import Answering, PoolCall, Result, SpeechJob
from storycore_tts.adapters.direct.turns import GENERATION, Clock, SystemClock, Turn
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.sampling import fresh_seed
from storycore_tts.errors import OutOfMemory

_SMALLER = "there was too little memory to speak {} line(s) at once; spoken again, {} at once"


@dataclass(frozen=True)
class ModelKey:
    """Identifies a model to load.

    Args:
        checkpoint: The checkpoint.
        version: Changes when the checkpoint is rewritten.
    """

    checkpoint: Checkpoint
    version: int


@dataclass(frozen=True)
class Limits:
    """Limits of a pool.

    Args:
        models: Maximum number of models in memory.
        idle: Seconds after which an unused model is unloaded; None: never.
        batch: Maximum number of lines in a batch.
        window: Seconds that a line waits for others to join its batch.
        keep: Whether a model stays loaded when no lines wait for it.
    """

    models: int
    idle: float | None
    batch: int
    window: float
    keep: bool


@dataclass(eq=False)
class _Model:
    """A model that is loaded or requested; guarded by the pool's lock."""

    key: ModelKey
    engine: Engine | None = None
    waiting: list[SpeechJob] = field(default_factory=list)
    last_used: float = 0.0


@dataclass(eq=False)
class _Exclusive:
    """Work that needs exclusive use of the device."""

    call: PoolCall[Any]
    work: Callable[[], None]
    arrival: int


class Pool:
    """A cache of models that loads them on first use and runs lines on them in batches.

    Args:
        limits: Limits on models and batches.
        load: Loads a model. Called in the pool's thread with the turn held.
        clock: Measures idle time and batch windows.
        turn: A lock shared by everything in this process that generates.
    """

    def __init__(
        self,
        limits: Limits,
        load: Callable[[ModelKey], Engine],
        *,
        clock: Clock | None = None,
        turn: Turn = GENERATION,
    ) -> None:
        self._limits = limits
        self._load = load
        self._clock = clock or SystemClock()
        self._turn = turn
        self._changed = threading.Condition()
        self._models: dict[ModelKey, _Model] = {}
        self._exclusive: list[_Exclusive] = []
        self._busy: Sequence[PoolCall[Any]] = ()
        self._current: _Model | None = None
        self._arrivals = 0
        self._thread: threading.Thread | None = None
        self._thread_runs = False
        self.closed = False
        self.lost: failures.DeviceLost | None = None
        """The error of a failed GPU, or None."""
        _pools.add(self)

    def submit(self, key: ModelKey, job: SpeechJob) -> None:
        """Queue a line. Cancelling the job removes it from the queue.

        Raises:
            BackendUnavailable: The pool is closed, or its GPU has failed.
        """
        with self._changed:
            self._check_open()
            job.tell(Progress(Stage.QUEUED, queue_position=len(self._wanted())))
            model = self._models.setdefault(key, _Model(key))
            job.arrival, job.submitted = self._next_arrival(), self._clock.time()
            job.on_cancel = lambda: self._withdraw(job, model.waiting)
            model.waiting.append(job)
            self._wake()

    def submit_exclusive(self, call: PoolCall[Result], work: Callable[[], Result]) -> None:
        """Queue work that runs with exclusive use of the device and no model in memory.

        Args:
            call: Receives what ``work`` returns or raises.
            work: Called in the pool's thread.

        Raises:
            BackendUnavailable: The pool is closed.
        """
        with self._changed:
            self._check_open()
            call.tell(Progress(Stage.QUEUED, queue_position=len(self._wanted())))
            waiting = _Exclusive(call, lambda: call.end(work()), self._next_arrival())
            call.on_cancel = lambda: self._withdraw(waiting, self._exclusive)
            self._exclusive.append(waiting)
            self._wake()

    @property
    def loaded(self) -> list[ModelKey]:
        """The models in memory."""
        with self._changed:
            return [model.key for model in self._loaded_models()]

    @property
    def length(self) -> int:
        """Number of queued and running lines and trainings, without cancelled ones."""
        with self._changed:
            return len(self._wanted())

    def close(self) -> None:
        """Stop within three steps, end the thread and free all memory. Blocks until done.

        Waits for a model that is being loaded, but not for other pools: one may be training.
        """
        with self._changed:
            self.closed = True
            thread, calls = self._thread, self._wanted()
            self._changed.notify_all()
        for call in calls:  # without the lock: cancelling also takes the turn's lock
            call.fail(failures.closed())
            call.cancel()
        self._turn.look_again()
        if thread is not None:
            thread.join()

    # With the lock held

    def _check_open(self) -> None:
        if self.closed:
            raise failures.closed()
        if self.lost is not None:
            raise copy(self.lost)

    def _next_arrival(self) -> int:
        self._arrivals += 1
        return self._arrivals

    def _wanted(self) -> list[PoolCall[Any]]:
        waiting = (job for model in self._models.values() for job in model.waiting)
        calls = (*self._busy, *waiting, *(one.call for one in self._exclusive))
        return [call for call in calls if not call.cancelled]

    def _wake(self) -> None:
        if not self._thread_runs:
            # A daemon, so that a program that never closes the pool can exit; see _close_all.
            name = "storycore-tts-direct"
            self._thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._thread.start()
            self._thread_runs = True
        self._changed.notify_all()

    def _next(self) -> _Model | _Exclusive | None:
        """Return the item that has waited longest: a model with lines, or exclusive work."""
        for model in self._models.values():  # jobs of closed event loops are still queued
            model.waiting[:] = [job for job in model.waiting if not job.cancelled]
        found: list[tuple[int, _Model | _Exclusive]] = [
            (model.waiting[0].arrival, model) for model in self._models.values() if model.waiting
        ]
        found += [(one.arrival, one) for one in self._exclusive if not one.call.cancelled]
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def _others_wait(self, model: _Model) -> bool:
        others = any(other.waiting for other in self._models.values() if other is not model)
        return others or bool(self._exclusive) or self._turn.is_wanted()

    def _forget_unused(self) -> None:
        for model in list(self._models.values()):
            if not model.waiting and model.engine is None and model is not self._current:
                del self._models[model.key]

    def _is_due(self) -> bool:
        """Return whether there is work that needs the turn."""
        left = self._seconds_to_idle()
        return self._next() is not None or (left is not None and left <= 0)

    def _loaded_models(self) -> list[_Model]:
        return [model for model in self._models.values() if model.engine is not None]

    def _take_engines(self, models: Sequence[_Model]) -> list[Engine]:
        """Detach the engines of models, so that their memory can be freed without the lock."""
        engines = [model.engine for model in models if model.engine is not None]
        for model in models:
            model.engine = None
        self._forget_unused()
        self._changed.notify_all()
        return engines

    def _seconds_to_idle(self) -> float | None:
        """Return the seconds until the next model is due to be unloaded; None: never."""
        idle, used = self._limits.idle, [model.last_used for model in self._loaded_models()]
        return min(used) + idle - self._clock.time() if used and idle is not None else None

    # In any thread

    def _withdraw(self, cancelled: object, waiting: list[Any]) -> None:
        """Remove cancelled work at once: it may hold much memory, and the turn may be far away."""
        with self._changed:
            if cancelled in waiting:
                waiting.remove(cancelled)
                self._forget_unused()
            self._changed.notify_all()
        self._turn.look_again()

    # In the pool's thread

    def _work(self) -> None:
        while self._has_work():
            with self._turn.taken(unless=self._needs_no_turn) as held:
                if held:
                    self._use_turn()

    def _has_work(self) -> bool:
        """Wait for work. Return False once the thread has left the pool, with no model loaded.

        Work submitted after that starts a new thread.
        """
        while True:
            with self._changed:
                while not self.closed:
                    if self._is_due():
                        return True
                    if not self._loaded_models():
                        break
                    self._clock.wait(self._changed, self._seconds_to_idle())
                engines = self._take_engines(self._loaded_models())
                if not engines:
                    self._models.clear()
                    self._thread_runs = False
                    return False
            _free(engines)

    def _needs_no_turn(self) -> bool:
        with self._changed:
            return self.closed or not self._is_due()

    def _use_turn(self) -> None:
        """Run the item that has waited longest; everything else gets its own turn."""
        with self._changed:
            chosen, began = self._next(), self._arrivals
            if isinstance(chosen, _Exclusive):
                self._exclusive.remove(chosen)
                self._busy = [chosen.call]
            elif chosen is not None:
                self._current = chosen
                self._models[chosen.key] = self._models.pop(chosen.key)  # most recent last
        if isinstance(chosen, _Exclusive):
            self._do_exclusive(chosen)
        elif chosen is not None:
            while batch := self._collect(chosen, began):
                self._speak(chosen, batch)
        self._unload_unneeded()

    def _do_exclusive(self, exclusive: _Exclusive) -> None:
        try:
            with self._changed:
                engines = self._take_engines(self._loaded_models())
            _free(engines)
            with Answering([exclusive.call]), self._loss_noted():
                exclusive.work()
        finally:
            with self._changed:
                self._busy = ()
                self._changed.notify_all()

    def _collect(self, model: _Model, began: int) -> list[SpeechJob]:
        """Wait for the batch window and return the next batch; [] ends the model's turn.

        If other models have work, only lines queued before the turn began are included. This keeps
        model changes to a minimum without starving any model.
        """
        limits = self._limits
        with self._changed:
            while not self.closed:
                self._next()
                if not model.waiting:
                    return []
                if self._others_wait(model) and model.waiting[0].arrival > began:
                    return []
                left = model.waiting[0].submitted + limits.window - self._clock.time()
                if left <= 0 or is_full(model.waiting, most=limits.batch):
                    self._busy = batch = next_batch(model.waiting, most=limits.batch)
                    for job in batch:
                        model.waiting.remove(job)
                    return batch
                self._clock.wait(self._changed, left)
        return []

    def _speak(self, model: _Model, batch: Sequence[SpeechJob]) -> None:
        try:
            with Answering(batch), self._loss_noted():
                self._speak_loaded(model, batch)
        finally:
            with self._changed:
                model.last_used = self._clock.time()
                self._busy = ()
                self._changed.notify_all()

    def _speak_loaded(self, model: _Model, batch: Sequence[SpeechJob]) -> None:
        for job in batch:
            job.begin(self._clock.time())
        engine = model.engine or self._loaded_now(model, batch)
        batch = [job for job in batch if not job.cancelled]  # may change during loading
        if not batch:
            return
        for job in batch:
            job.add_warnings(engine.placement.warnings)
            job.tell(Progress(Stage.GENERATING, fraction=0.0))
        try:
            self._speak_now(model, engine, batch)
        except OutOfMemory:
            if batch[0].streamed:  # delivered chunks cannot be withdrawn
                raise
            give_back_memory()
            half = math.ceil(len(batch) / 2)
            for part in filter(None, (batch[:half], batch[half:])):
                with Answering(part):
                    for job in part:
                        job.add_warnings([_SMALLER.format(len(batch), len(part))])
                    self._speak_now(model, engine, part)

    def _speak_now(self, model: _Model, engine: Engine, batch: Sequence[SpeechJob]) -> None:
        seed = batch[0].seed if batch[0].seed is not None else fresh_seed()
        for job, take in zip(batch, engine.speak(batch, seed), strict=False):
            self._settle(model, job, take, seed)

    @contextmanager
    def _loss_noted(self) -> Iterator[None]:
        try:
            yield
        except failures.DeviceLost as error:
            self.lost = error
            raise

    def _loaded_now(self, model: _Model, batch: Sequence[SpeechJob]) -> Engine:
        for job in batch:
            job.tell(Progress(Stage.LOADING))
        self._make_room()
        engine = self._load(model.key)
        with self._changed:
            model.engine = engine
        return engine

    def _settle(self, model: _Model, job: SpeechJob, take: GeneratedAudio, seed: int) -> None:
        """Finish a job with its take, or queue it for another attempt."""
        if take.ran_away and job.try_again(seed):
            with self._changed:
                model.waiting.insert(0, job)
        elif take.ran_away:
            job.fail(failures.runaway(take.seconds, job.line.budget))
        else:
            job.tell(Progress(Stage.GENERATING, fraction=1.0))
            job.finish(take.samples, seed, self._clock.time())

    def _make_room(self) -> None:
        """Unload until one more fits: models without lines first, then the least recently used."""
        with self._changed:
            loaded = sorted(self._loaded_models(), key=lambda model: bool(model.waiting))
            engines = self._take_engines(loaded[: max(0, len(loaded) - self._limits.models + 1)])
        _free(engines)

    def _unload_unneeded(self) -> None:
        """Unload models that are idle for too long, and models without lines if none are kept."""
        with self._changed:
            self._current = None
            idle = (model for model in self._loaded_models() if not model.waiting)
            unneeded = [model for model in idle if self._is_idle(model) or not self._limits.keep]
            engines = self._take_engines(unneeded)
        _free(engines)

    def _is_idle(self, model: _Model) -> bool:
        idle = self._limits.idle
        return idle is not None and model.last_used + idle <= self._clock.time()


def _free(engines: Sequence[Engine]) -> None:
    for engine in engines:
        engine.unload()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close all pools at exit: a thread that is killed inside torch aborts the whole process."""
    for pool in list(_pools):
        pool.close()
