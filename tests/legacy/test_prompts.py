"""``Qwen3TTSPromptStrategy``."""

import json

import pytest

from storycore_tts import ConfigurationError, Qwen3TTSPromptStrategy, SpeechRequest

VOICES = ("male", "female", "child", "elderly")
EMOTIONS = ("happy", "sad", "angry", "neutral")


@pytest.fixture
def strategy(settings):
    return Qwen3TTSPromptStrategy(config=settings())


def test_each_voice_and_mood_has_a_prompt_of_its_own_that_a_request_takes(strategy):
    prompts = {strategy.generate_prompt(v, e, "fr") for v in VOICES for e in EMOTIONS}
    assert len(prompts) == 16
    for prompt in prompts:
        assert "French" in prompt
        assert SpeechRequest("Bonjour.", "Ryan", instruct=prompt).instruct == prompt


def test_a_voice_that_has_no_prompt_is_taken_at_its_word_and_an_example_can_be_had(strategy):
    prompt = strategy.generate_prompt("robot", "bored", "Elvish")
    assert all(word in prompt for word in ("robot", "bored", "Elvish"))
    plain = strategy.generate_prompt("male", "sad", "en")
    assert strategy.generate_prompt("male", "sad", "en", use_few_shot=True).startswith(plain)
    assert strategy.generate_prompt("male", "sad", "en", True) != plain


def test_the_names(strategy):
    names = strategy.list_available_prompts()
    assert names == [f"{v}_{e}" for v in VOICES for e in EMOTIONS]
    assert strategy.save_custom_prompt("pirate", "Like a pirate.")
    assert strategy.list_available_prompts() == [*names, "pirate"]
    assert strategy.get_custom_prompt("pirate") == "Like a pirate."
    assert strategy.get_custom_prompt("ninja") is None


def test_prompts_of_ones_own_are_kept_in_the_file(settings, tmp_path):
    file = tmp_path / "new" / "prompts.json"
    first = Qwen3TTSPromptStrategy(str(file), config=settings())
    assert first.save_custom_prompt("pirat", "Wie ein Pirat: böse.")
    assert Qwen3TTSPromptStrategy(file, config=settings()).custom_prompts == first.custom_prompts
    assert json.loads(file.read_text(encoding="utf-8")) == {"pirat": "Wie ein Pirat: böse."}
    assert [one.name for one in file.parent.iterdir()] == ["prompts.json"]


def test_a_disk_that_refuses_is_false_and_changes_nothing(settings, tmp_path):
    (tmp_path / "file").write_text("")
    strategy = Qwen3TTSPromptStrategy(tmp_path / "file" / "prompts.json", config=settings())
    assert strategy.save_custom_prompt("pirate", "Like a pirate.") is False
    assert strategy.custom_prompts == {}


def test_a_file_that_holds_no_prompts_or_cannot_be_opened_is_refused(settings, tmp_path):
    file = tmp_path / "prompts.json"
    for text in ("{", "[]", '{"a": 1}'):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=r"prompts\.json"):
            Qwen3TTSPromptStrategy(file, config=settings())
    with pytest.raises(ConfigurationError, match="too long"):
        Qwen3TTSPromptStrategy("/" + "x" * 300, config=settings())


def test_it_is_deprecated_where_the_settings_say_so(settings):
    with pytest.warns(DeprecationWarning, match=r"storycore_tts\.style_instruct") as caught:
        Qwen3TTSPromptStrategy(config=settings(deprecate_legacy=True))
    assert caught[0].filename == __file__
