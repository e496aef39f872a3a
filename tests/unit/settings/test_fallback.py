"""One fallback, several, or none."""

from __future__ import annotations

import pytest

from storycore_tts.errors import ConfigurationError
from storycore_tts.settings import QwenTTSConfig, load_config


@pytest.mark.parametrize(
    ("written", "kept", "in_order"),
    [
        ("direct", "direct", ("direct",)),
        ("draft", "draft", ("draft",)),
        ("none", None, ()),
        ("null", None, ()),
        ("[]", None, ()),
        ("[none]", None, ()),
        ("[draft]", ("draft",), ("draft",)),
        ("[direct, draft]", ("direct", "draft"), ("direct", "draft")),
        ("direct, draft", ("direct", "draft"), ("direct", "draft")),
        ("[comfyui, draft, draft]", ("comfyui", "draft", "draft"), ("draft",)),
    ],
)
def test_a_name_a_list_or_none(tmp_path, written, kept, in_order):
    file = tmp_path / "tts.yaml"
    file.write_text(f"tts:\n  qwen:\n    fallback: {written}\n")
    for config in (
        load_config(file, environ={}).config,
        load_config(environ={"STORYCORE_TTS_FALLBACK": written}).config,
    ):
        assert config.fallback == kept
        assert config.fallbacks_of("comfyui") == in_order
        assert config.fallbacks_of("draft") == ()
        assert config.has_usual_fallback is (kept == "direct")
        assert QwenTTSConfig(**dict(config)).fallback == kept


@pytest.mark.parametrize("value", ["drift", ["direct", "drift"], ["direct", "none"], [1], 1, {}])
def test_other_values_are_refused(value):
    with pytest.raises(ConfigurationError) as refused:
        QwenTTSConfig(fallback=value)
    assert refused.value.key.partition(".")[0] == "fallback"
    if "drift" in str(value):
        assert "Did you mean 'draft'?" in refused.value.allowed
