"""What is said of sound files, whoever made them."""

INSPECTION = "storycore_tts/services/inspection.py"
UNIT = ["tests/unit/services/test_inspection.py"]
ISOLATED = "storycore_tts/adapters/c2pa/isolated.py"

MUTANTS = [
    (
        INSPECTION,
        "if isinstance(self.signature, Manifest) and not self.signature.valid:",
        "if isinstance(self.signature, Manifest) and self.signature.changed:",
        "a damaged manifest passes for an intact one",
        UNIT,
    ),
    (
        INSPECTION,
        "        if len(claims) > 1:\n            return Verdict.CONTRADICTORY\n",
        "",
        "a watermarked file that claims to be a recording is no contradiction",
        UNIT,
    ),
    (
        INSPECTION,
        "    kept = islice({**first, **tags}.items(), _MOST_ENTRIES)",
        "    kept = islice({**tags, **first}.items(), _MOST_ENTRIES)",
        "fifty other tags hide that a file is synthetic",
        UNIT,
    ),
    (
        INSPECTION,
        'letter if letter.isprintable() else "?"',
        "letter",
        "a file controls the terminal of the person who inspects it",
        UNIT,
    ),
    (
        ISOLATED,
        "        except ValidationError:\n            return _UNREADABLE",
        "        except ValidationError:\n            return None",
        "a file that makes the reader crash passes for one without a signature",
        ["tests/unit/c2pa/test_isolated.py"],
    ),
]
