"""A process that does jobs, for tests that kill it.

Arguments: folder, URL or "", concurrency, seconds that a job takes, file to log to, "wait" or
"drain". Writes a line for each start and end of a job; "drain" ends when no job is left.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.jobs import Outcome
from storycore_tts.domain.progress import Progress, Stage


async def main() -> None:
    folder, url, concurrency, seconds, log, mode = sys.argv[1:]
    lines = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def perform(job_id, order, report):
        os.write(lines, f"start {job_id} {os.getpid()}\n".encode())
        report(Progress(Stage.GENERATING))
        await asyncio.sleep(float(seconds))
        os.write(lines, f"end {job_id} {os.getpid()}\n".encode())
        return Outcome({"pid": os.getpid()}, job_id.encode(), "audio/x")

    queue = DurableQueue(
        Path(folder),
        {"draft": int(concurrency)},
        database_url=url or None,
        polling_seconds=0.05,
        max_attempts=1000,
    )
    async with queue:
        await queue.start(perform)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if mode == "drain":
            while any((await queue.counts()).values()):
                await asyncio.sleep(0.1)
        else:
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
