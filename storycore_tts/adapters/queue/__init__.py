"""Jobs that survive their process: a queue on DBOS, in SQLite files or in PostgreSQL.

``durable`` is the queue, with uploads and job affinities; ``work`` does one job; ``watching`` tells
those who wait; ``members`` takes over the jobs of processes that died; ``housekeeping`` removes
what is too old.
``repository`` reads and writes the databases: ``runtime``, which is DBOS, and ``tables``, which are
ours, both in ``storage``.
``documents`` and ``states`` are pure: what is written, and what it means.
"""

from __future__ import annotations

from storycore_tts.adapters.queue.durable import TIME_LIMITS, DurableQueue, JobAffinities, Uploads
from storycore_tts.adapters.queue.waiting import Intervals

__all__ = ["TIME_LIMITS", "DurableQueue", "Intervals", "JobAffinities", "Uploads"]
