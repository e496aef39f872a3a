"""The stand-in, and what it tests."""

MUTANTS = [
    (
        "storycore_tts/testing/comfyui/prompt_jobs.py",
        "            if self._heap and self._heap[0][2] is job:\n",
        "            if self._heap:\n",
        ("a job that was deleted while it was held runs all the same, or another in its place"),
        ["tests/testing/test_standin_queue.py"],
    ),
    (
        "storycore_tts/testing/comfyui/sockets.py",
        "            self._by_id.pop(client_id, None)\n",
        (
            "            if self._by_id.get(client_id) is connection:\n"
            "                del self._by_id[client_id]\n"
        ),
        "the second socket of an id is not deaf when the first one closes, as ComfyUI's is",
        ["tests/testing/test_standin_events.py"],
    ),
    (
        "storycore_tts/testing/comfyui/executor.py",
        (
            '            await self.server.faults.pass_gate("history", **run.context)\n'
            "            self._write_history(job, run.history_entry(outcome))\n"
        ),
        (
            "            self._write_history(job, run.history_entry(outcome))\n"
            '            await self.server.faults.pass_gate("history", **run.context)\n'
        ),
        "the history is there before execution_success, not after it",
        ["tests/testing/test_standin_queue.py"],
    ),
    (
        "storycore_tts/testing/comfyui/process.py",
        '                complete, newline, _ = file.read().rpartition(b"\\n")\n',
        '                complete, newline = file.read(), b"\\n"\n',
        "the log of a stand-in process trips over half a line",
        ["tests/testing/test_standin_process.py", "tests/faults/test_server_killed.py"],
    ),
    (
        "storycore_tts/testing/comfyui/validation.py",
        'if "min" in config[1] and value < config[1]["min"]:',
        'if "min" in config[1] and value <= config[1]["min"]:',
        "a value at its minimum is refused",
        ["tests/testing/test_standin_script.py"],
    ),
    (
        "storycore_tts/pipeline/retry.py",
        ("            return float(asked_for) + random.uniform(0, self._policy.initial_seconds)\n"),
        "            pass\n",
        "the pause that a server asks for is not kept",
        ["tests/faults/test_retries_and_fallback.py"],
    ),
    (
        "storycore_tts/adapters/draft/adapter.py",
        "            await asyncio.to_thread(thread.join)\n",
        "            pass\n",
        "a closed draft adapter leaves its thread behind",
        ["tests/faults/test_leaving.py"],
    ),
]
