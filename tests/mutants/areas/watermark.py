"""Which speech gets a watermark."""

UNIT = ["tests/unit/services/test_watermarking.py"]

MUTANTS = [
    (
        "storycore_tts/services/marking.py",
        "if tags and (self.policy.watermark_all or not signable):",
        "if tags and self.policy.watermark_all:",
        "files that cannot be signed have no mark that outlives their tags",
        UNIT,
    ),
    (
        "storycore_tts/services/marking.py",
        "signable = suffix in _CAN_BE_SIGNED and not",
        "signable = not",
        "the watermark depends on who signs, not on what can be signed",
        UNIT,
    ),
    (
        "storycore_tts/container.py",
        '    if config.watermark == "always":\n        raise',
        '    if config.watermark == "none":\n        raise',
        "files that shall all have a watermark are made without one",
        UNIT,
    ),
    (
        "storycore_tts/services/rendering.py",
        "            rest += self._encoded(last)\n",
        "",
        "the last quarter second of a stream is lost",
        UNIT,
    ),
]
