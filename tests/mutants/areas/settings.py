"""Settings: how they are read, refused and handed to adapters."""

LOADING = ["tests/unit/settings/test_loading.py"]
ADAPTERS = ["tests/unit/settings/test_adapters.py"]

MUTANTS = [
    (
        "storycore_tts/settings/documents.py",
        "key.start_mark.line + 1 for key, _ in node.value",
        "key.start_mark.line for key, _ in node.value",
        "a refusal points at the line above the mistake",
        LOADING,
    ),
    (
        "storycore_tts/settings/loading.py",
        "if not isinstance(below, dict):",
        "if below is None:",
        "a mapping cannot replace a value that a file gave for its block",
        ["tests/unit/settings/test_refusals.py"],
    ),
    (
        "storycore_tts/settings/block.py",
        "    if field and not field.repr:",
        "    if field and field.repr:",
        "a refusal shows a secret",
        ADAPTERS,
    ),
    (
        "storycore_tts/settings/config.py",
        "        shared = {*QwenTTSModelConfig.model_fields, *own.also_read}",
        "        shared = {*QwenTTSModelConfig.model_fields}",
        "an adapter keeps the old address of its server when the settings change",
        ADAPTERS,
    ),
    (
        "storycore_tts/settings/config.py",
        "        return self.model_dump_json(include=shared) + own.model_dump_json()",
        "        return self.model_dump_json()",
        "a model is loaded again when a setting of another adapter changes",
        ADAPTERS,
    ),
]
