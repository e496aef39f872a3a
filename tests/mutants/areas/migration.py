"""A checkout of the engine is edited as a whole or not at all, and goes back byte for byte."""

WRITING = "tests/migration/test_writing.py"
PHASES = "tests/migration/test_phases.py"
REFUSALS = "tests/migration/test_refusals.py"

MUTANTS = [
    (
        "storycore_tts/entrypoints/checkout/writing.py",
        "    except BaseException:\n        put_right(root)\n        raise\n",
        "    except OSError:\n        put_right(root)\n        raise\n",
        "an interrupt in the middle of a migration leaves half of it",
        [WRITING],
    ),
    (
        "storycore_tts/entrypoints/checkout/writing.py",
        "    _replaced(pending_file(root), record.as_bytes(), Path.replace)\n",
        "",
        "nothing says after a kill what was under way",
        [WRITING],
    ),
    (
        "storycore_tts/entrypoints/checkout/writing.py",
        "        if _digest_of(file) != known.before:\n            raise LocalChanges(",
        "        if False:\n            raise LocalChanges(",
        "a file that was changed while the migration ran is overwritten",
        [WRITING],
    ),
    (
        "storycore_tts/entrypoints/checkout/files.py",
        "        if at.is_symlink():",
        "        if False:",
        "links out of the checkout are followed",
        [REFUSALS],
    ),
    (
        "storycore_tts/services/migration/regions.py",
        "    if not region.for_users and _same_ending(found) != _same_ending(region.after):",
        "    if False:",
        "local changes between the marks are thrown away on the way back",
        [REFUSALS],
    ),
    (
        "storycore_tts/services/migration/yaml_source.py",
        "    if not same or any(",
        "    if any(",
        "an edit of the settings may change others",
        [REFUSALS, "tests/migration/test_text_edits.py"],
    ),
    (
        "storycore_tts/services/migration/planning.py",
        "        if region.phase > target:",
        "        if region.phase >= target:",
        "going back goes one phase too far",
        [PHASES],
    ),
]
