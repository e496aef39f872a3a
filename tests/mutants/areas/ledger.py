"""The ledger, and notices in front of speech."""

CHAIN = "storycore_tts/adapters/ledger/chain.py"
FILES = "storycore_tts/adapters/ledger/ledger.py"
RULES = ["tests/unit/ledger/test_chain.py"]
LEDGER = ["tests/unit/ledger/test_ledger.py"]

MUTANTS = [
    (
        CHAIN,
        "elif previous != self.head.hash:",
        "elif False:",
        "an edited record goes unnoticed",
        RULES,
    ),
    (
        CHAIN,
        "if self._vouched != str(self.pruned) and self.pruned != START:",
        "if False:",
        "a removed beginning goes unnoticed",
        RULES,
    ),
    (
        FILES,
        "return noted if noted.seq >= found.seq else found",
        "return found",
        "the next record hides that the end was cut off",
        LEDGER,
    ),
    (
        FILES,
        "file.truncate(file.seek(size - len(unfinished)))",
        "pass",
        "a record that a killed process left unfinished breaks the next one",
        LEDGER,
    ),
    (
        FILES,
        "with locked(self._lock):",
        "with contextmanager(lambda: iter([None]))():",
        "processes that write at once break the chain",
        LEDGER,
    ),
    (
        FILES,
        'checkpoint["problem"] = verdict.problem + _WHEN_PRUNED',
        "pass",
        "pruning hides that the ledger was broken",
        LEDGER,
    ),
    (
        "storycore_tts/adapters/ledger/facts.py",
        '"text": text_hash(request.text, secret),',
        '"text": request.text,',
        "the ledger holds the text in clear",
        LEDGER,
    ),
    (
        "storycore_tts/services/disclosure.py",
        'text, language = default_notice(language), "English" if language == AUTO else language',
        "text = default_notice(language)",
        "a German backend reads the English notice, or guesses its language",
        ["tests/unit/services/test_disclosure.py"],
    ),
]
