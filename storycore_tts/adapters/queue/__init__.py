"""Jobs that survive their process: a queue in an SQLite file or a PostgreSQL database.

**A job is one row** of ``storycore_tts_jobs`` (``tables``). ``submit`` inserts it in a transaction,
so when ``submit`` returns, the job is on disk (``repository.accept``). A process with free capacity
claims queued rows, most urgent first: it sets the state to "running", writes its own name into
``worker`` and adds one to ``attempts`` (``claims.claim``). When the job ends, its state, outcome
and audio are written in one transaction (``claims.finish``), so either all of them are stored or
none. A process that closes requeues its unfinished jobs (``claims.release``).

**Why a job survives kill -9**: the row of a killed process still says "running", and a process that
finds out that the worker is dead sets it back to "queued" (``claims.requeue``).

* In a folder, only the process that holds ``state_dir/lock`` runs jobs (``storage.take``). The
  operating system frees the lock when the process dies. The next process that gets it, after a
  restart or because it shares the folder, knows that every "running" row is stale, and requeues all
  of them before it claims its first job.
* In PostgreSQL, each process holds an advisory lock under its name, which the server releases when
  the connection ends. A process that can take another's lock requeues that process's jobs
  (``members``).

**Why no two processes record the same job**: ``attempts`` is a fencing token. ``claims.finish``
writes only if the job has not been claimed again since. A process that was wrongly considered dead
finds a different number there, and its result is discarded.

``durable`` is the queue itself, ``work`` runs one job, ``watching`` notifies watchers,
``withdrawing`` ends the jobs in a voice whose consent was revoked, ``uploads`` stores recordings,
``affinities`` records backend endpoints, ``housekeeping`` removes expired data, and ``older``
migrates the jobs of earlier versions, which stored them with DBOS.
"""

from __future__ import annotations

from storycore_tts.adapters.queue.durable import TIME_LIMITS, DurableQueue
from storycore_tts.adapters.queue.waiting import Intervals
from storycore_tts.adapters.queue.withdrawing import withdraw_from

__all__ = ["TIME_LIMITS", "DurableQueue", "Intervals", "withdraw_from"]
