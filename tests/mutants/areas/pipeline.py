"""Retry, fallback, reload and what else calls pass; bad audio."""

_TESTS = "tests/unit/pipeline"

MUTANTS = [
    (
        "storycore_tts/pipeline/calls.py",
        (
            "            if _cancellations() > before:\n"
            "                raise asyncio.CancelledError from error\n"
        ),
        "",
        ("a cancelled line is spoken by the fallback, or tried again, when an adapter swallows it"),
        [f"{_TESTS}/test_fallback.py", f"{_TESTS}/test_retry.py"],
    ),
    (
        "storycore_tts/pipeline/calls.py",
        "with_warnings(audio_gate.checked(result, call.request), ignored)",
        "with_warnings(result, ignored)",
        "what an adapter of a third party delivers is not judged",
        [f"{_TESTS}/test_audio_gate.py"],
    ),
    (
        "storycore_tts/pipeline/calls.py",
        "stream.each(lambda one: with_warnings(gate(one), ignored), within=gate)",
        "stream.each(lambda one: with_warnings(gate(one), ignored))",
        "a stream of silence is taken for speech",
        [f"{_TESTS}/test_audio_gate.py"],
    ),
    (
        "storycore_tts/pipeline/observing.py",
        "within=stack.pop_all()",
        "within=None",
        "a stream counts as ended when its first chunk has come",
        [f"{_TESTS}/test_observing.py"],
    ),
    (
        "storycore_tts/pipeline/retry.py",
        "            pause.end()\n",
        "            pass\n",
        "a client that is closed leaves its calls asleep until their pauses are over",
        [f"{_TESTS}/test_retry.py"],
    ),
    (
        "storycore_tts/pipeline/retry.py",
        "        if tries.closings != self.closings:  #",
        "        if False:  #",
        "a retry opens a client again that was closed in its pause",
        [f"{_TESTS}/test_retry.py"],
    ),
    (
        "storycore_tts/pipeline/fallback.py",
        ("            if closings != self.closings:\n                raise\n"),
        "",
        "a line that closing ended is spoken by the fallback",
        [f"{_TESTS}/test_fallback.py"],
    ),
    (
        "storycore_tts/pipeline/fallback.py",
        "if closings != self.closings or not _is_refusal(error):",
        "if closings != self.closings:",
        "a second fallback takes what the first one tried and failed at",
        [f"{_TESTS}/test_fallback.py"],
    ),
    (
        "storycore_tts/pipeline/fallback.py",
        "        if missing and self._only_if_installed:\n",
        "        if missing and not self._only_if_installed:\n",
        "an error advises to install a fallback that was not chosen",
        [f"{_TESTS}/test_fallback.py"],
    ),
    (
        "storycore_tts/pipeline/switching.py",
        ("        for use in tuple(self._retired):\n            self._close(use)\n"),
        "",
        "a backend that was replaced in mid-job stays open when its client is left",
        [f"{_TESTS}/test_switching.py"],
    ),
    (
        "storycore_tts/pipeline/breaker.py",
        ("            probing.cancel()\n            await asyncio.wait([probing])\n"),
        "            pass\n",
        "closing leaves the task that probes an unavailable backend",
        [f"{_TESTS}/test_breaker.py"],
    ),
    (
        "storycore_tts/pipeline/retry.py",
        "return (error.retry_after or 0.0) <= self._policy.longest_retry_after",
        "return True",
        "a backend that asks for a minute's pause is waited for",
        [f"{_TESTS}/test_retry.py"],
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
    (
        "storycore_tts/pipeline/ignored.py",
        'ignored = ignored_parameters(sampling, SamplingParameters, taken | {"seed"})',
        "ignored = ignored_parameters(sampling, SamplingParameters, taken)",
        "each streamed line on a backend without seeds is warned of a seed that was not asked for",
        ["tests/unit/pipeline/test_ignored.py"],
    ),
    (
        "storycore_tts/pipeline/calls.py",
        "    if not warnings:\n",
        "    if warnings:\n",
        "a parameter that a backend ignores is ignored in silence",
        ["tests/unit/pipeline/test_ignored.py"],
    ),
]
