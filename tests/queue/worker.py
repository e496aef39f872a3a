"""A process that does jobs, for tests that kill it.

Arguments: folder, URL or "", file to log to, a mode, and perhaps "share". "wait": it works until
its input ends. "held": so, too, but its jobs stand still until a line of input comes. "drain": it
ends when no job is left. Logs a line for each start and end of a job.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from storycore_tts.adapters.queue import DurableQueue, Intervals
from storycore_tts.domain.jobs import Outcome
from storycore_tts.domain.progress import Progress, Stage


async def main() -> None:
    folder, url, log, mode, *share = sys.argv[1:]
    lines = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    may_go_on = asyncio.Event()
    if mode != "held":
        may_go_on.set()

    async def perform(job_id, spec, report):
        os.write(lines, f"start {job_id} {os.getpid()}\n".encode())
        report(Progress(Stage.GENERATING))
        await asyncio.sleep(0.05)
        await may_go_on.wait()
        os.write(lines, f"end {job_id} {os.getpid()}\n".encode())
        return Outcome({"pid": os.getpid()}, job_id.encode(), "audio/x")

    queue = DurableQueue(
        Path(folder),
        {"draft": 4},
        share=bool(share),
        database_url=url or None,
        max_attempts=1000,
        intervals=Intervals(polling=0.05),
    )
    async with queue:
        await queue.start(perform)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if mode == "drain":
            while any((await queue.counts()).values()):
                await asyncio.sleep(0.1)
        else:
            while await asyncio.to_thread(sys.stdin.readline):
                may_go_on.set()


asyncio.run(main())
