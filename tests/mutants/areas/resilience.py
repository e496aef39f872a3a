"""Retry, fallback, reload and what goes around adapters."""

MUTANTS = [
    (
        "storycore_tts/adapters/resilience/layers.py",
        (
            "            if _cancellations() > before:\n"
            "                raise asyncio.CancelledError from error\n"
        ),
        "",
        ("a cancelled line is spoken by the fallback, or tried again, when an adapter swallows it"),
        ["tests/unit/resilience/test_fallback.py", "tests/unit/resilience/test_retry.py"],
    ),
    (
        "storycore_tts/adapters/resilience/retry.py",
        ("            pause.end()\n        await super().aclose()\n"),
        ("            pass\n        await super().aclose()\n"),
        "a client that is closed leaves its calls asleep until their pauses are over",
        ["tests/unit/resilience/test_retry.py"],
    ),
    (
        "storycore_tts/adapters/resilience/retry.py",
        "            if failed is not None and closings != self._closings:\n",
        "            if False:\n",
        "a retry opens a client again that was closed in its pause",
        ["tests/unit/resilience/test_retry.py"],
    ),
    (
        "storycore_tts/adapters/resilience/fallback.py",
        ("            if closings != self._closings:\n                raise\n"),
        "",
        "a line that closing ended is spoken by the fallback",
        ["tests/unit/resilience/test_fallback.py"],
    ),
    (
        "storycore_tts/adapters/resilience/switching.py",
        ("        for use in tuple(self._retired):\n            self._close(use)\n"),
        "",
        "a backend that was replaced in mid-job stays open when its client is left",
        ["tests/unit/resilience/test_switching.py"],
    ),
    (
        "storycore_tts/adapters/resilience/breaker.py",
        ("            probe.cancel()\n            await asyncio.wait([probe])\n"),
        "            pass\n",
        "closing leaves the task that looks at a dead backend",
        ["tests/unit/resilience/test_breaker.py"],
    ),
    (
        "storycore_tts/adapters/resilience/retry.py",
        "return (error.retry_after or 0.0) <= self._policy.longest_retry_after",
        "return True",
        "a backend that asks for a minute's pause is waited for",
        ["tests/unit/resilience/test_retry.py"],
    ),
    (
        "storycore_tts/services/training_times.py",
        "[-_KEPT:]",
        "[:]",
        "the notes of trainings grow without a bound",
        ["tests/unit/services/test_training_times.py"],
    ),
    (
        "storycore_tts/container.py",
        "        self._switching.refuse()\n",
        "",
        "a call that outlives open_tts opens the backend again",
        ["tests/unit/services/test_reload.py"],
    ),
    (
        "storycore_tts/container.py",
        ("        if reloads:\n            await asyncio.wait(reloads)\n"),
        "",
        "a reload that is under way outlives its service",
        ["tests/unit/services/test_reload.py"],
    ),
    (
        "storycore_tts/concurrency/waiting.py",
        "        task.cancel()\n        await all_ended([task], task.cancel)\n",
        "        pass\n",
        "a caller who gives up leaves the work running behind the time limit",
        ["tests/unit/concurrency/test_waiting.py"],
    ),
]
