"""Who speaks for whom, and a scene that is spoken."""

CASTING = "storycore_tts/services/casting.py"
RULES = "storycore_tts/domain/casting.py"
LINES = "storycore_tts/services/voicing.py"
TAKES = "storycore_tts/services/takes.py"
UNIT = ["tests/unit/services/test_casting.py"]
SPOKEN = ["tests/storycore/test_scenes.py"]

MUTANTS = [
    (
        LINES,
        " - set(OPENAI_VOICES)",
        "",
        "a character called Nova loses the voice that it was given",
        ["tests/storycore/test_casting.py"],
    ),
    (
        "storycore_tts/concurrency/shared_files.py",
        '            connection.execute("BEGIN EXCLUSIVE")\n',
        "            pass\n",
        "processes that cast at once lose each other's characters",
        UNIT,
    ),
    (
        CASTING,
        "        self._assigned.look()  # another process may have assigned a voice\n",
        "",
        "a character has two voices when two processes meet it at once",
        UNIT,
    ),
    (
        CASTING,
        "used = Counter(name_key(role.voice.voice) for role in roles)",
        "used = Counter[str]()",
        "characters share a voice while others are free",
        UNIT,
    ),
    (
        CASTING,
        "now - self._looked < _LOOK_EVERY",
        "now - self._looked < 1000 * _LOOK_EVERY",
        "a cast that was changed is not noticed",
        UNIT,
    ),
    (
        RULES,
        "    return min(right or speakers, key=rank)",
        "    return min(speakers, key=rank)",
        "a woman speaks with a man's voice",
        ["tests/unit/domain/test_casting.py"],
    ),
    (
        LINES,
        "    return name_key(wanted) not in {name_key(one.name) for one in await tts.speakers()}",
        "    return False",
        "a character that nobody knows is an error",
        ["tests/storycore/test_casting.py"],
    ),
    (
        TAKES,
        'if entry["key"] in keys and entry["backend"] == backend:',
        'if entry["key"] in keys:',
        "what a fallback spoke is kept when the backend is back",
        SPOKEN,
    ),
    (
        TAKES,
        "        for other in (name, *self._kept):",
        "        for other in self._kept:",
        "repeated words change their takes at the next run",
        ["tests/unit/services/test_takes.py"],
    ),
]
