"""The engine's ``Qwen3TTSPromptStrategy``: what to tell the model about a voice and a mood."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from storycore_tts.domain.languages import AUTO, language_named
from storycore_tts.domain.logs import log_event
from storycore_tts.entrypoints.legacy.deprecations import deprecated
from storycore_tts.errors import ConfigurationError, UnsupportedLanguage
from storycore_tts.settings import QwenTTSConfig, load_config

_log = logging.getLogger(__name__)

VOICE_TYPES = {
    "male": "a man's voice",
    "female": "a woman's voice",
    "child": "a child's voice, bright and small",
    "elderly": "an old person's voice, low and a little worn",
}
EMOTIONS = {
    "happy": "happy and cheerful, with a smile, a little faster and higher",
    "sad": "sad and downcast, slow and low, with heavy pauses",
    "angry": "angry and sharp, loud and fast, with hard stresses",
    "neutral": "neutral and even, at an ordinary pace",
}
_EXAMPLES = {
    "happy": "What wonderful news!",
    "sad": "I did not think that it would end like this.",
    "angry": "I told you never to do that again!",
    "neutral": "The train leaves at ten past eight.",
}


def prompt(voice_type: str, emotion: str, language: str) -> str:
    """Return an instruct for a voice and a mood.

    Args:
        voice_type: "male", "female", "child" or "elderly"; another one is taken at its word.
        emotion: "happy", "sad", "angry" or "neutral"; another one is taken at its word.
        language: A language's name, code or locale; one that the model does not speak is taken at
            its word too, and refused when a line is spoken in it.
    """
    voice = VOICE_TYPES.get(voice_type, f"the voice of: {voice_type}")
    mood = EMOTIONS.get(emotion, emotion)
    return f"Speak with {voice}; {mood}.{_in(language)}"


class Qwen3TTSPromptStrategy:
    """Prompts by voice type and emotion, and prompts of one's own by name.

    Args:
        config_path: A JSON file of prompts of one's own, name -> text; ``save_custom_prompt`` adds
            to it. None: they are kept in memory.
        config: Settings, the path of a YAML file, or None for the usual places; they say whether
            this class is deprecated.

    Raises:
        ConfigurationError: The file is none of that kind.
    """

    def __init__(
        self,
        config_path: str | os.PathLike[str] | None = None,
        *,
        config: QwenTTSConfig | str | Path | None = None,
    ) -> None:
        settings = config if isinstance(config, QwenTTSConfig) else load_config(config).config
        deprecated(settings, "Qwen3TTSPromptStrategy", "storycore_tts.style_instruct")
        self._file = None if config_path is None else Path(config_path)
        self.custom_prompts = _stored(self._file)

    def generate_prompt(
        self, voice_type: str, emotion: str, language: str, use_few_shot: bool = False
    ) -> str:
        """Return an instruct for a voice and a mood; see ``prompt``.

        Args:
            voice_type: "male", "female", "child" or "elderly".
            emotion: "happy", "sad", "angry" or "neutral".
            language: A language's name, code or locale.
            use_few_shot: Say also what is typically said in that mood.
        """
        said = prompt(voice_type, emotion, language)
        example = _EXAMPLES.get(emotion)
        return f'{said} As if saying: "{example}"' if use_few_shot and example else said

    def save_custom_prompt(self, prompt_name: str, prompt_text: str) -> bool:
        """Keep a prompt under a name, in the file if there is one.

        Returns:
            Whether it could be written.
        """
        prompts = {**self.custom_prompts, prompt_name: prompt_text}
        try:
            _write(self._file, prompts)
        except OSError as error:
            log_event(_log, logging.ERROR, "prompt.not_saved", reason=error.strerror)
            return False
        self.custom_prompts = prompts
        return True

    def get_custom_prompt(self, prompt_name: str) -> str | None:
        """Return a prompt that was kept, or None."""
        return self.custom_prompts.get(prompt_name)

    def list_available_prompts(self) -> list[str]:
        """Return the names of all prompts: "male_happy" and so on, and one's own."""
        return [
            *(f"{voice}_{emotion}" for voice in VOICE_TYPES for emotion in EMOTIONS),
            *self.custom_prompts,
        ]


def _in(language: str) -> str:
    try:
        name = language_named(language)
    except UnsupportedLanguage:
        name = language
    return "" if name == AUTO or not name else f" Speak {name}."


def _stored(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        prompts = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Cannot read the prompts in {file}: {error}.") from error
    if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
        raise ConfigurationError(f"{file} must hold one JSON object, name -> prompt.")
    return prompts


def _write(file: Path | None, prompts: dict[str, str]) -> None:
    """Write the whole file beside its place and rename it: no reader sees half of it."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.unfinished")
    draft.write_text(json.dumps(prompts, ensure_ascii=False, indent=2), encoding="utf-8")
    draft.replace(file)
