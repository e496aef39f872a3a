"""A checkout of the engine is edited where nothing is lost, and goes back byte for byte."""

WRITING = "tests/migration/test_writing.py"
PHASES = "tests/migration/test_phases.py"
REFUSALS = "tests/migration/test_refusals.py"
TEXTS = "tests/migration/test_text_edits.py"

MUTANTS = [
    (
        "storycore_tts/services/migration/planning.py",
        "    if refused:\n",
        "    if False:\n",
        "changes that are not committed are written over",
        [REFUSALS],
    ),
    (
        "storycore_tts/services/migration/planning.py",
        "    ours = [committed, *_phases(replace(committed, lines=shown))]",
        "    ours = [committed]",
        "what was written but not committed cannot be taken back",
        [PHASES],
    ),
    (
        "storycore_tts/entrypoints/checkout/checkouts.py",
        "        clear_draft(root, path)\n",
        "        pass\n",
        "a kill leaves a draft for good",
        [WRITING],
    ),
    (
        "storycore_tts/entrypoints/checkout/files.py",
        "    rename(draft, file)",
        "    file.write_bytes(draft.read_bytes())\n    rename(draft, file)",
        "a file is written in place before it is replaced",
        [WRITING],
    ),
    (
        "storycore_tts/entrypoints/checkout/checkouts.py",
        "        if read(root, change.path) != change.before:",
        "        if False:",
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
        "storycore_tts/services/migration/steps.py",
        '    if "tts" in settings(',
        '    if "speech" in settings(',
        "a second tts block hides the settings of the first",
        [REFUSALS, TEXTS],
    ),
    (
        "storycore_tts/services/migration/steps.py",
        "        if not finding.done:\n            raise AnchorNotFound(",
        "        if False:\n            raise AnchorNotFound(",
        "lines that are no code or no setting are written",
        [REFUSALS, TEXTS],
    ),
    (
        "storycore_tts/services/migration/checkout.py",
        "if one[1].phase > phase]",
        "if one[1].phase >= phase]",
        "going back goes one phase too far",
        [PHASES],
    ),
    (
        "storycore_tts/services/migration/planning.py",
        "        if edited(",
        "        if False and edited(",
        "edits between our marks that git lacks go with the marks",
        [REFUSALS],
    ),
    (
        "storycore_tts/services/migration/checkout.py",
        "        if path == self.settings and region.phase == 1:",
        "        if False:",
        "settings are left behind without the keys above them",
        [REFUSALS],
    ),
]
