"""The engine's ``Qwen3TTSIntegration``: synchronous calls that return True or False.

For expected errors, calls return False and ``last_error`` holds the error. Programming errors are
still raised.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from storycore_tts.container import ConfiguredSpeech
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.voices import built_in_speaker
from storycore_tts.entrypoints.legacy.blocking import Calls
from storycore_tts.entrypoints.legacy.deprecations import deprecated
from storycore_tts.entrypoints.legacy.prompts import EMOTIONS, prompt
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.entrypoints.storycore import lines
from storycore_tts.errors import ConfigurationError, InvalidRequest, TTSError, did_you_mean
from storycore_tts.settings import QwenTTSConfig

_log = logging.getLogger(__name__)

_SAMPLING = tuple(field.name for field in fields(Sampling))
_USUAL = "default"


@dataclass(frozen=True)
class LegacyConfig:
    """Contents of the old JSON file.

    Args:
        sample_rate: Sample rate of written files, in Hz; None: that of the model.
        voice_type: "default", "male", "female", "child" or "elderly".
        language: Language name, code or locale; None: as configured.
        use_gpu: False: run on the CPU; True: as configured.
    """

    sample_rate: int | None = None
    voice_type: str = _USUAL
    language: str | None = None
    use_gpu: bool = True

    @classmethod
    def read(cls, path: str | os.PathLike[str] | None) -> LegacyConfig:
        """Read the file; missing keys, or a missing file, take the defaults.

        Raises:
            ConfigurationError: The file is not a JSON object, or a value has the wrong type.
        """
        if path is None:
            return cls()
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"Cannot read {path}: {error}.", source=str(path)) from error
        if not isinstance(document, dict):
            raise ConfigurationError(f"{path} must hold one JSON object.", source=str(path))
        known = {name: document[name] for name in _KINDS if name in document}
        for name, value in known.items():
            _check(name, value, str(path))
        return cls(**known)


_KINDS: dict[str, type] = {"sample_rate": int, "voice_type": str, "language": str, "use_gpu": bool}


@dataclass(frozen=True)
class VoiceParams:
    """Keys of ``voice_params``; None means the default.

    Args:
        speaker: A voice, or an id such as "fr-FR-Denise"; overrides ``voice_type``.
        voice_type: "default", "male", "female", "child" or "elderly".
        emotion: "happy", "sad", "angry" or "neutral".
        language: Language name, code or locale.
        instruct: Style instruction in natural language; overrides ``emotion``.
        speed: 0.25..4.
        pitch: 0.5..2.
    """

    speaker: str | None = None
    voice_type: str | None = None
    emotion: str | None = None
    language: str | None = None
    instruct: str | None = None
    speed: float = 1.0
    pitch: float = 1.0


class Qwen3TTSIntegration:
    """Synchronous speech and cloning, for programs with or without an event loop.

    Calls block until the file is written, and can be made from any thread.

    Args:
        model_name: "qwen3-tts-1.7b" or "qwen3-tts-0.6b".
        config_path: The old JSON file: ``sample_rate``, ``voice_type``, ``language``, ``use_gpu``.
        config: Settings, the path of a YAML file, or None for the default locations.

    Raises:
        ConfigurationError: The settings or the old file are invalid.
    """

    def __init__(
        self,
        model_name: str = "qwen3-tts-1.7b",
        config_path: str | os.PathLike[str] | None = None,
        *,
        config: QwenTTSConfig | str | Path | None = None,
    ) -> None:
        self.model_name = model_name
        self.legacy = LegacyConfig.read(config_path)
        self.last_error: TTSError | None = None
        """The error of the last call; None if it succeeded."""
        self._speech = SpeechBySize(
            config,
            model_choice=_size(model_name),
            device=None if self.legacy.use_gpu else "cpu",
            precision=None if self.legacy.use_gpu else "fp32",
        )
        self._files = lines.SpeechFiles(self._speech, None)
        deprecated(self._speech.config, "Qwen3TTSIntegration", "storycore_tts.open_tts")
        self._calls = Calls()

    def __enter__(self) -> Qwen3TTSIntegration:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def config(self) -> QwenTTSConfig:
        """The settings in force."""
        return self._speech.config

    def generate_voice(
        self,
        text: str,
        output_path: str | os.PathLike[str],
        voice_params: dict[str, Any] | None = None,
    ) -> bool:
        """Generate a line and write it to a file.

        Args:
            text: Text to speak.
            output_path: .wav, .flac, .mp3, .ogg, .opus, .aac or .m4a file to write.
            voice_params: See ``VoiceParams``; also accepts the parameters of ``Sampling``, such as
                ``seed`` and ``temperature``.

        Returns:
            Whether the file was written; if not, ``last_error`` holds the error.
        """
        return self._done(lambda: self._generate(text, output_path, dict(voice_params or {})))

    def clone_voice(
        self,
        reference_audio_path: str | os.PathLike[str],
        text: str,
        output_path: str | os.PathLike[str],
        *,
        consent: str = "",
    ) -> bool:
        """Generate a line with the timbre of a recording.

        Args:
            reference_audio_path: Path of a local recording.
            text: Text to speak.
            output_path: .wav, .flac, .mp3, .ogg, .opus, .aac or .m4a file to write.
            consent: Who agreed to the use of the recording, and when, in words; "": not stated.

        Returns:
            Whether the file was written; if not, ``last_error`` holds the error.
        """
        return self._done(lambda: self._clone(reference_audio_path, text, output_path, consent))

    def generate_prompt(self, voice_type: str, emotion: str, language: str) -> str:
        """Return a style instruction; see ``Qwen3TTSPromptStrategy``."""
        return prompt(voice_type, emotion, language)

    def close(self) -> None:
        """Close the backend; the next call opens it again.

        Calls in progress in other threads are cancelled and return False.
        """
        self._calls.close(self._speech.aclose)

    def _done(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run a coroutine in the background thread, and return whether it succeeded."""
        self.last_error = None
        try:
            self._calls.run(work())
        except TTSError as error:
            self.last_error = error
            log_event(_log, logging.ERROR, "speech.failed", error=type(error).__name__)
            return False
        return True

    async def _generate(
        self, text: str, output_path: str | os.PathLike[str], said: dict[str, Any]
    ) -> None:
        await self._speech.refresh()
        sampling = {name: said.pop(name) for name in _SAMPLING if name in said}
        params = _params(said)
        voice_type = params.voice_type or self.legacy.voice_type
        await self._files.say(
            text,
            params.speaker or _speaker(voice_type, self._speech.tts()),
            output_path,
            speed=params.speed,
            pitch=params.pitch,
            with_cast=False,
            sample_rate=self.legacy.sample_rate,
            language=params.language or self.legacy.language,
            instruct=self._instruct(params),
            sampling=self.config.generation.sampling(**sampling),
        )

    async def _clone(
        self,
        reference_audio_path: str | os.PathLike[str],
        text: str,
        output_path: str | os.PathLike[str],
        consent: str,
    ) -> None:
        await self._speech.refresh()
        await self._files.clone(
            text,
            reference_audio_path,
            output_path,
            language=self.legacy.language,
            sample_rate=self.legacy.sample_rate,
            consent=consent,
        )

    def _instruct(self, params: VoiceParams) -> str:
        if params.instruct is not None or params.emotion is None:
            return params.instruct or ""
        voice_type = params.voice_type or self.legacy.voice_type
        if voice_type == _USUAL:
            return EMOTIONS.get(params.emotion, params.emotion)
        language = params.language or self.legacy.language or self.config.default_language
        return prompt(voice_type, params.emotion, language)


def _size(model_name: str) -> str:
    """Return the size in a model name.

    Raises:
        ConfigurationError: The name contains no known size.
    """
    found = re.search(r"(0\.6|1\.7)b", model_name.lower())
    if found is None:
        raise ConfigurationError(
            f"The model {model_name!r} is unknown.", hint="Use qwen3-tts-1.7b or qwen3-tts-0.6b."
        )
    return f"{found[1]}B"


def _speaker(voice_type: str, tts: ConfiguredSpeech) -> str:
    """Return the built-in voice closest to a voice type."""
    closest = {
        _USUAL: tts.defaults.speaker,
        "male": built_in_speaker("male", "English"),
        "female": built_in_speaker("female"),
        "child": built_in_speaker("female", "Japanese"),
        "elderly": "Uncle_Fu",
    }
    if voice_type not in closest:
        suggestion = did_you_mean(voice_type, closest)
        raise InvalidRequest(
            f"There is no voice type {voice_type!r}.{suggestion}",
            hint=f"Use one of: {', '.join(closest)}.",
        )
    return closest[voice_type]


def _params(said: dict[str, Any]) -> VoiceParams:
    usual = asdict(VoiceParams())
    for name in said:
        if name not in usual:
            known = (*usual, *_SAMPLING)
            raise InvalidRequest(
                f"There is no voice parameter {name!r}.{did_you_mean(name, known)}",
                hint=f"Available parameters: {', '.join(known)}.",
            )
    return VoiceParams(**said)


def _check(name: str, value: object, source: str) -> None:
    kind = _KINDS[name]
    if type(value) is not kind or (name == "sample_rate" and not 8000 <= value <= 192_000):  # type: ignore[operator]
        allowed = "8000 to 192000" if name == "sample_rate" else f"a {kind.__name__}"
        raise ConfigurationError(
            f"{source}: {name} cannot be {value!r}. Allowed: {allowed}.",
            source=source,
            key=name,
            value=value,
            allowed=allowed,
        )
