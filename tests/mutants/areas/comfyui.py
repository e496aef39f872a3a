"""The ComfyUI adapter: the machine that follows a job, its loop, its session, its transport."""

JOB = "storycore_tts/adapters/comfyui/protocol/job.py"
FOLLOWING = "storycore_tts/adapters/comfyui/protocol/following.py"
LEAVING = "storycore_tts/adapters/comfyui/protocol/leaving.py"
RUN = "storycore_tts/adapters/comfyui/protocol/run.py"
RUNNER = "storycore_tts/adapters/comfyui/runner.py"
SESSION = "storycore_tts/adapters/comfyui/session.py"
LOOKUPS = "storycore_tts/concurrency/lookups.py"
CHECKS = "storycore_tts/adapters/comfyui/checks.py"
INSTALLED = "storycore_tts/adapters/comfyui/protocol/installed.py"
SPEAKING = "storycore_tts/adapters/comfyui/speaking.py"
HTTP = "storycore_tts/adapters/comfyui/transport/http.py"
WAITING = "storycore_tts/concurrency/waiting.py"
RULES = ["tests/unit/comfyui/test_job.py"]
SCHEDULES = ["tests/unit/comfyui/test_job_properties.py"]
ASKED = ["tests/unit/concurrency/test_lookups.py"]
SHARED = ["tests/unit/comfyui/test_session.py"]

MUTANTS = [
    (
        RUNNER,
        "        if self._session.closing:\n            raise closed_error()\n",
        "",
        "a client that is being closed submits a job",
        SHARED,
    ),
    (
        JOB,
        "        if self.alive:\n",
        "        if False:\n",
        "a submission that events speak of is searched for and may be repeated",
        RULES,
    ),
    (
        JOB,
        "        self._cause, self.phase = cause, Phase.SEARCHING\n",
        "        self._cause = cause\n        return self._submit()\n",
        "a doubtful submission is repeated without a search",
        SCHEDULES,
    ),
    (
        JOB,
        "        elif self._looks_again():\n",
        "        elif False:\n",
        "one look that finds nothing repeats a submission",
        RULES,
    ),
    (
        JOB,
        "        elif self._run.posts < MAX_SUBMISSIONS:\n",
        "        elif True:\n",
        "a job is submitted without end",
        RULES,
    ),
    (
        JOB,
        "asked_at < self._run.asked_from or Command",
        "Command",
        "a snapshot from before the submission counts as an absence",
        RULES,
    ),
    (
        JOB,
        "        elif self._run.unbroken:\n"
        "            self._fail(failures.stopped_error(ran=False), now)\n",
        "",
        "a job that another client removed is given to the server again",
        RULES,
    ),
    (
        JOB,
        "        if self._run.ended and self._run.unbroken:\n",
        "        if False:\n",
        "a job that ran and left no trace is reported as deleted by another client",
        RULES,
    ),
    (
        JOB,
        "        elif self._warnings:\n",
        "        elif False:\n",
        "a job that is lost again and again is submitted again and again",
        RULES,
    ),
    (
        JOB,
        "        if entry == self._stale:\n            entry = None\n",
        "",
        "the failure of an earlier run is taken for that of this one",
        RULES,
    ),
    (
        LEAVING,
        "        error.retryable = error.retryable and not self.may_live\n",
        "",
        "a job that the server may have is tried again by the layers above",
        RULES,
    ),
    (
        JOB,
        "        if node_errors:  # the server runs the valid part of the graph\n",
        "        if False:\n",
        "a graph of which only a part runs is followed as if all were well",
        RULES,
    ),
    (
        LEAVING,
        "        self._commands.clear()\n        if stays",
        "        if stays",
        "what was asked for before a cancellation is still done",
        RULES,
    ),
    (
        LEAVING,
        "        if Command.SUBMIT not in self._in_flight:\n            self._withdraw(now)\n",
        "        self._withdraw(now)\n",
        "a job whose submission is under way is withdrawn before it arrives",
        RULES,
    ),
    (
        LEAVING,
        "2 if self.certain else MAX_POLLS",
        "2",
        "a job that is still on its way into the queue is left there",
        RULES,
    ),
    (
        LEAVING,
        "        if now >= self._withdraw_until:\n",
        "        if False:\n",
        "a server that does not answer is told for ever to drop a job",
        RULES,
    ),
    (
        FOLLOWING,
        "        if now >= when:\n",
        "        if False:\n",
        "no wait for a job ends",
        RULES,
    ),
    (
        LEAVING,
        "deque(maxlen=MAX_PROGRESS)",
        "deque()",
        "progress that is not taken grows without a bound",
        RULES,
    ),
    (
        LEAVING,
        "stays=suspended and self.plan.known",
        "stays=suspended",
        "a job that can never be picked up again stays on the server",
        RULES,
    ),
    (
        RUN,
        "self._succeeded and OUTPUT_ID in self.outputs",
        "OUTPUT_ID in self.outputs",
        "a job counts as done before it succeeded",
        RULES,
    ),
    (
        FOLLOWING,
        "        elif OUTPUT_ID in run.outputs or entry is not None:\n",
        "        elif entry is not None:\n",
        "a result is lost when another client clears the history",
        RULES,
    ),
    (
        LEAVING,
        "        return snapshot.find(OUTPUT_ID, self.graph[OUTPUT_ID])\n",
        "        return None\n",
        "a job on a server that chooses its own ids is submitted twice",
        RULES,
    ),
    (
        RUNNER,
        "                machine.cancel(self._loop.time(), suspended=SUSPENDED in error.args)\n",
        "",
        "a cancelled job stays on the server",
        SHARED,
    ),
    (
        RUNNER,
        "        if self._cancelled is not None:\n            raise self._cancelled\n",
        "",
        "a cancellation that comes while a job is withdrawn is swallowed",
        SHARED,
    ),
    (
        RUNNER,
        "suspended=SUSPENDED in error.args",
        "suspended=False",
        "a service that stops takes its durable jobs off the server",
        SHARED,
    ),
    (
        SESSION,
        "        for job in tuple(self._jobs):\n            job.notify(job.machine.close)\n",
        "",
        "closing a client leaves its jobs on the server",
        SHARED,
    ),
    (
        SESSION,
        "            self.lookups.forget()\n            self.breaks",
        "            self.breaks",
        "a server that restarted is believed to have the nodes and files of before",
        ["tests/unit/comfyui/test_session.py"],
    ),
    (
        LOOKUPS,
        "        task = self._asked.get(key)\n",
        "        task = None\n",
        "first calls at the same time ask the same question many times",
        SHARED,
    ),
    (
        LOOKUPS,
        "            while len(self._asked) >= self._limit:\n"
        "                del self._asked[next(iter(self._asked))]\n",
        "",
        "remembered answers grow without a bound",
        ASKED,
    ),
    (
        LOOKUPS,
        "            raise copy(error) from error",
        "            raise error",
        "callers change one another's errors",
        ASKED,
    ),
    (
        "storycore_tts/adapters/comfyui/adapter.py",
        "            if self._sessions.get(loop) is session:\n                    del",
        "            if False:\n                    del",
        "an adapter keeps every event loop that it was ever used from",
        SHARED,
    ),
    (
        HTTP,
        "            self.reachability.check()\n",
        "",
        "every caller connects to a server that is down",
        SHARED,
    ),
    (
        WAITING,
        "            cancelled = error\n",
        "            pass\n",
        "a cancellation during a clean-up is swallowed",
        ["tests/unit/concurrency/test_waiting.py"],
    ),
    (
        CHECKS,
        "    if session.checkpoints.get(path) is False:\n",
        "    if False:\n",
        "the stock model speaks in place of a missing checkpoint, without a word",
        ["tests/comfyui/test_checkpoints.py"],
    ),
    (
        CHECKS,
        "    return session.checkpoints.get(path, False)\n",
        "    return True\n",
        "a result claims a checkpoint that nothing tells of",
        ["tests/comfyui/test_checkpoints.py"],
    ),
    (
        SPEAKING,
        "        graphs.reload_model(graph)  # ",
        "        pass  # ",
        "a checkpoint that came later is not loaded, as the stock model holds its place",
        ["tests/comfyui/test_checkpoints.py"],
    ),
    (
        CHECKS,
        "    if model in session.not_downloaded:\n",
        "    if False:\n",
        "each job waits anew for a model that the server cannot download",
        ["tests/comfyui/test_installed.py"],
    ),
    (
        INSTALLED,
        '        if any("/" not in folder for folder in places):\n',
        "        if places:\n",
        "a model in a folder where the node pack does not look counts as installed",
        ["tests/unit/comfyui/test_installed.py"],
    ),
    (
        SPEAKING,
        "        if session.breaks == breaks:\n            raise\n",
        "        raise\n",
        "speech that a restart deleted before it was fetched is lost",
        ["tests/comfyui/test_restarts.py"],
    ),
]
