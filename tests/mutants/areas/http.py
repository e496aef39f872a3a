"""The service over HTTP, its decoder of recordings, and the command line."""

MUTANTS = [
    (
        "storycore_tts/concurrency/admission.py",
        "        if self._admitted >= self._capacity:\n",
        "        if self._admitted < 0:\n",
        "recordings that wait to be decoded have no bound",
        [
            "tests/unit/audio_intake/test_processes.py::test_more_than_may_wait_are_refused_until_a_place_is_free"
        ],
    ),
    (
        "storycore_tts/concurrency/admission.py",
        "            self._admitted -= 1\n",
        "            pass\n",
        "a place in the queue of recordings is never free again",
        [
            "tests/unit/audio_intake/test_processes.py::test_more_than_may_wait_are_refused_until_a_place_is_free"
        ],
    ),
    (
        "storycore_tts/concurrency/sandbox.py",
        '        "RLIMIT_NOFILE": (3, 3),',
        '        "RLIMIT_NOFILE": (64, 64),',
        "a decoder that was taken over can open files and sockets",
        [
            "tests/unit/audio_intake/test_processes.py::test_files_sockets_and_processes_are_out_of_reach"
        ],
    ),
    (
        "storycore_tts/sound/decoders.py",
        "    if not frames or frames / rate < _LEAST * announced:\n",
        "    if not frames:\n",
        "half a recording of a phone passes for a whole one",
        ["tests/unit/audio_intake/test_decoder.py"],
    ),
    (
        "storycore_tts/entrypoints/http/rates.py",
        "        if len(times) >= self._most:\n",
        "        if len(times) > self._most:\n",
        "a key may ask once more often than the settings allow",
        ["tests/http/test_timing.py"],
    ),
    (
        "storycore_tts/entrypoints/http/rates.py",
        "        if self._answer is None or old:\n",
        "        if True:\n",
        "a flood of /ready reaches the backends",
        ["tests/http/test_timing.py"],
    ),
    (
        "storycore_tts/entrypoints/http/security/guard.py",
        "        if left <= 0:",
        "        if left is None:",
        "a body that drips fast enough is read for ever",
        ["tests/http/test_timing.py"],
    ),
    (
        "storycore_tts/entrypoints/http/security/guard.py",
        "        for origin in origins:\n",
        "        for origin in origins[:1]:\n",
        "a foreign page gets in beside an origin of ours",
        ["tests/http/test_security_origins.py::test_of_two_origins_both_must_be_ours"],
    ),
    (
        "storycore_tts/entrypoints/http/security/keys.py",
        "(given or not (is_list and service.config.server.open_lists))",
        "(given or not service.config.server.open_lists)",
        "lines are spoken without a key where lists need none",
        ["tests/http/test_behind_a_proxy.py"],
    ),
    (
        "storycore_tts/entrypoints/http/openai/voices.py",
        "    is_known = owner != ANONYMOUS or not service.config.server.api_keys\n",
        "    is_known = True\n",
        "what people say in their recordings is told without a key",
        ["tests/http/test_behind_a_proxy.py"],
    ),
    (
        "storycore_tts/entrypoints/http/security/prefix.py",
        "said and is_prefix and self._is_trusted(scope)",
        "said and is_prefix",
        "any client says where the links of answers lead",
        ["tests/http/test_behind_a_proxy.py::test_a_stranger_is_not_believed_what_the_prefix_is"],
    ),
    (
        "storycore_tts/entrypoints/http/security/exposure.py",
        '    if "*" in server.allowed_origins:\n',
        "    if False:\n",
        "any web page uses a service without keys",
        ["tests/http/test_behind_a_proxy.py::test_any_page_may_not_use_one_without_keys"],
    ),
    (
        "storycore_tts/entrypoints/http/security/connections.py",
        "        seconds = self.farewell if still_sends else self.patience\n",
        "        seconds = self.patience\n",
        "a client that was refused may go on sending for longer",
        ["tests/http/test_timing.py"],
    ),
    (
        "storycore_tts/entrypoints/http/security/connections.py",
        "        if self.cycle is answered:\n",
        "        if True:\n",
        "an answer that takes long is cut off",
        ["tests/http/test_timing.py"],
    ),
    (
        "storycore_tts/entrypoints/http/sending.py",
        ("        with anyio.fail_after(seconds):\n            await send(message)\n"),
        ("        import asyncio\n\n        await asyncio.wait_for(send(message), seconds)\n"),
        "a time limit swallows the cancellation of the request (Python 3.10 and 3.11)",
        ["tests/http/test_timing.py::test_a_time_limit_swallows_no_cancellation"],
    ),
    (
        "storycore_tts/entrypoints/http/openai/streaming.py",
        "        unless_sent.push_async_callback(pieces.aclose)",
        "        unless_sent.push_async_callback(__import__('asyncio').sleep, 0)",
        "a stream that is cancelled before it is sent goes on at the backend",
        [
            "tests/http/test_timing.py::test_a_stream_whose_request_is_cancelled_before_it_is_sent_ends_its_work"
        ],
    ),
    (
        "storycore_tts/entrypoints/http/listening.py",
        (
            "            self._cancel_requests()\n"
            "            await self._requests_ended()\n"
            "            self.force_exit = True\n"
        ),
        "            self.force_exit = True\n",
        "a service whose task is cancelled leaves its jobs on ComfyUI",
        [
            "tests/http/test_leaving.py::test_a_service_whose_task_is_cancelled_ends_its_requests_first"
        ],
    ),
    (
        "storycore_tts/entrypoints/cli/interrupts.py",
        "        if self.came == 1:\n",
        "        if self.came <= 2:\n",
        "Ctrl-C pressed twice leaves the job on ComfyUI",
        [
            "tests/cli/test_interruption.py::test_a_second_signal_does_not_keep_the_job_from_being_taken_back"
        ],
    ),
]
