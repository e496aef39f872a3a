"""Use cases between the ports and the surfaces."""

MUTANTS = [
    (
        "storycore_tts/services/speech.py",
        "        if stored is not None or is_built_in(name) or not isinstance(name, str):\n",
        "        if is_built_in(name) or not isinstance(name, str):\n",
        "a stored voice called Nova is spoken by another one",
        ["tests/unit/services/test_stored_voices_speak.py"],
    ),
    (
        "storycore_tts/services/capacity.py",
        "            self.waiting -= 1",
        "            pass",
        "those who gave up waiting are counted for ever, until everybody is sent away",
        ["tests/unit/services/test_capacity.py"],
    ),
    (
        "storycore_tts/services/capacity.py",
        "self.waiting >= self._max_waiting",
        "self.waiting >= 1000 * self._max_waiting",
        "the bound on waiting requests is gone",
        ["tests/unit/services/test_capacity.py"],
    ),
    (
        "storycore_tts/services/output.py",
        "        if not writable or target.is_dir():",
        "        if not writable:",
        "a line is spoken before it turns out that its file is a folder",
        ["tests/unit/services/test_output.py"],
    ),
    (
        "storycore_tts/services/speech.py",
        "        if not operation.offered_by(self.capabilities):",
        "        if False:",
        "a backend is asked for what it does not offer",
        ["tests/unit/services/test_speech_service.py"],
    ),
    (
        "storycore_tts/live_settings.py",
        '        while (first := self._turn.setdefault("", mine)) is not mine:',
        "        while (first := mine) is not mine:",
        "of two reloads at once, the earlier one may win",
        ["tests/unit/services/test_reload.py"],
    ),
    (
        "storycore_tts/live_settings.py",
        "                self._stamp, self._refused = stamp, str(error)",
        "                self._refused = str(error)",
        "settings that are refused are read and logged every second",
        ["tests/unit/settings/test_live.py"],
    ),
    (
        "storycore_tts/live_settings.py",
        "    return found.st_mtime_ns, found.st_size, found.st_ino",
        "    return found.st_mtime_ns, found.st_size, 0",
        "a file that is put in the place of another one of the same time is not noticed",
        ["tests/unit/settings/test_live.py"],
    ),
    (
        "storycore_tts/services/voices.py",
        "                if not exists(place):  # removed concurrently",
        "                if False:",
        "a voice that is removed while it is read is reported as damaged",
        ["tests/unit/services/test_voice_library.py"],
    ),
]
