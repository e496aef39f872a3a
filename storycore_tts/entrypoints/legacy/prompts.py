"""The engine's ``Qwen3TTSPromptStrategy``: style instructions by voice type and emotion."""

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
    """Return a style instruction for a voice type and an emotion.

    Args:
        voice_type: "male", "female", "child" or "elderly"; any other text is used as it is.
        emotion: "happy", "sad", "angry" or "neutral"; any other text is used as it is.
        language: Language name, code or locale. An unsupported one is used as it is, and rejected
            when a line is generated.
    """
    voice = VOICE_TYPES.get(voice_type, f"the voice of: {voice_type}")
    mood = EMOTIONS.get(emotion, emotion)
    return f"Speak with {voice}; {mood}.{_in(language)}"


class Qwen3TTSPromptStrategy:
    """Prompts by voice type and emotion, and custom prompts by name.

    Args:
        config_path: JSON file of custom prompts, name -> text; ``save_custom_prompt`` adds to it.
            None: custom prompts are kept in memory.
        config: Settings, the path of a YAML file, or None for the default locations; read for
            ``deprecate_legacy``.

    Raises:
        ConfigurationError: The file cannot be read, or is not a JSON object of strings.
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
        """Return a style instruction for a voice type and an emotion; see ``prompt``.

        Args:
            voice_type: "male", "female", "child" or "elderly".
            emotion: "happy", "sad", "angry" or "neutral".
            language: Language name, code or locale.
            use_few_shot: Whether to add an example sentence for the emotion.
        """
        said = prompt(voice_type, emotion, language)
        example = _EXAMPLES.get(emotion)
        return f'{said} As if saying: "{example}"' if use_few_shot and example else said

    def save_custom_prompt(self, prompt_name: str, prompt_text: str) -> bool:
        """Save a custom prompt, in the file if there is one.

        Returns:
            Whether it was saved.
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
        """Return a custom prompt, or None if there is none."""
        return self.custom_prompts.get(prompt_name)

    def list_available_prompts(self) -> list[str]:
        """Return the names of all prompts: "male_happy" and so on, and the custom ones."""
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
    """Write to a temporary file and rename it, so that readers never see a partial file."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.unfinished")
    draft.write_text(json.dumps(prompts, ensure_ascii=False, indent=2), encoding="utf-8")
    draft.replace(file)
