"""Locates checkpoints and reads their config.json, without loading them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from storycore_tts.adapters.direct.failures import BACKEND, importing
from storycore_tts.domain.languages import AUTO
from storycore_tts.errors import BackendUnavailable, InvalidRequest, UnsupportedLanguage
from storycore_tts.settings import QwenTTSConfig

Kind: TypeAlias = Literal["custom_voice", "base"]
"""Kind of a checkpoint, as in its config.json."""

_REPOSITORY = "Qwen/Qwen3-TTS-12Hz-{}"
_NEEDED = ("config.json", "model.safetensors", "speech_tokenizer/model.safetensors")
_HUB_SECONDS = 5.0  # timeout for the Hub


@dataclass(frozen=True)
class Checkpoint:
    """A named checkpoint.

    Args:
        name: A local folder, or a repository on the Hugging Face Hub.
        kind: The required kind.
    """

    name: str
    kind: Kind

    @property
    def folder(self) -> Path | None:
        """The folder, if the name is one or looks like a path; otherwise None.

        Raises:
            InvalidRequest: The name starts with the home folder of an unknown user.
        """
        path = at_home(self.name)
        is_path = path.is_absolute() or self.name.startswith(("~", ".")) or "\\" in self.name
        return path if is_path or self.name.count("/") != 1 or path.is_dir() else None


@dataclass(frozen=True)
class Card:
    """Properties of a checkpoint, from its config.json.

    Args:
        speakers: Names of its voices.
        languages: Supported languages, in lower case.
        hears_instruct: Whether it supports ``instruct``; the 0.6B models do not.
        stamp: Modification time; changes if the checkpoint is replaced, as by a second training.
    """

    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    hears_instruct: bool
    stamp: int

    def check_language(self, language: str) -> None:
        """Check that the checkpoint supports a language.

        Args:
            language: In the model's spelling.

        Raises:
            UnsupportedLanguage: The checkpoint does not support the language.
        """
        if language != AUTO and language.casefold() not in self.languages:
            raise UnsupportedLanguage(
                f"This checkpoint does not support {language}.",
                hint=f"Use one of: {', '.join((AUTO, *map(str.title, self.languages)))}.",
                backend=BACKEND,
            )


def at_home(name: str) -> Path:
    """Return the path for a name that may start with "~".

    Raises:
        InvalidRequest: The name starts with the home folder of an unknown user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise InvalidRequest(
            f"{name} is not a valid path: there is no such home folder.", backend=BACKEND
        ) from error


def configured(config: QwenTTSConfig, kind: Kind) -> Checkpoint:
    """Return the stock checkpoint of a kind in the configured size."""
    return configured_size(config, kind, config.model_choice)


def configured_size(config: QwenTTSConfig, kind: Kind, size: str) -> Checkpoint:
    """Return the stock checkpoint of a kind in the given size ("0.6B" or "1.7B")."""
    key = f"{size}-{'CustomVoice' if kind == 'custom_voice' else 'Base'}"
    named = {str(size): place for size, place in config.direct.models.items()}
    return Checkpoint(named.get(key, _REPOSITORY.format(key)), kind)


def read_card(checkpoint: Checkpoint) -> Card:
    """Read the properties of a checkpoint; downloads its config.json if necessary. Blocks.

    Raises:
        BackendUnavailable: The folder or repository does not exist, or the Hub is unreachable.
        InvalidRequest: The checkpoint is invalid or of another kind.
    """
    path = _config_file(checkpoint)
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stamp = path.stat().st_mtime_ns
        talker = config["talker_config"]
        kind, speakers, languages = (
            config["tts_model_type"],
            tuple(talker.get("spk_id") or ()),
            tuple(name for name in talker["codec_language_id"] if "dialect" not in name),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            f"{path} does not describe a Qwen3-TTS checkpoint ({type(error).__name__}: {error}).",
            backend=BACKEND,
        ) from error
    if kind != checkpoint.kind:
        wanted = "speak with named voices" if checkpoint.kind == "custom_voice" else "clone voices"
        raise InvalidRequest(
            f"{checkpoint.name} is a {kind!r} checkpoint, but a {checkpoint.kind!r} checkpoint is "
            f"required to {wanted}.",
            hint="Base models are for cloning and training; CustomVoice and trained models speak "
            "with named voices.",
            backend=BACKEND,
        )
    return Card(speakers, languages, str(config.get("tts_model_size")) != "0b6", stamp)


def is_here(checkpoint: Checkpoint) -> bool:
    """Return whether all files of a checkpoint are on this machine."""
    folder = checkpoint.folder or _cached(checkpoint.name)
    return folder is not None and all((folder / name).is_file() for name in _NEEDED)


def fetched(checkpoint: Checkpoint) -> Path:
    """Return the folder of a checkpoint; downloads missing files. May block for minutes.

    Raises:
        BackendUnavailable: Files are missing, or the Hub is unreachable.
    """
    folder = checkpoint.folder or _cached(checkpoint.name)
    if checkpoint.folder is None and not is_here(checkpoint):
        folder = _from_hub(checkpoint.name)
    assert folder is not None
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise BackendUnavailable(
            f"{folder} has no {' and no '.join(missing)}.",
            hint="Copy the complete checkpoint to this folder, or set another one in "
            "tts.qwen.direct.models.",
            backend=BACKEND,
            retryable=False,
        )
    return folder


def _config_file(checkpoint: Checkpoint) -> Path:
    if checkpoint.folder is not None:
        path = checkpoint.folder / "config.json"
        if not _is_there(path):
            raise BackendUnavailable(
                f"There is no checkpoint in {checkpoint.folder}: it has no config.json.",
                hint="Use a folder with config.json, in the request or in tts.qwen.direct.models.",
                backend=BACKEND,
                retryable=False,
            )
        return path
    folder = _cached(checkpoint.name) or _from_hub(checkpoint.name, only="config.json")
    return folder / "config.json"


def _is_there(path: Path) -> bool:
    """Return whether a file exists.

    Raises:
        BackendUnavailable: The file cannot be checked, for instance for lack of permission.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise BackendUnavailable(
            f"Cannot look for a checkpoint in {path.parent}: {error.strerror}.",
            hint="Grant read access to this folder, or use another one.",
            backend=BACKEND,
            retryable=False,
        ) from error


def _from_hub(repository: str, *, only: str | None = None) -> Path:
    """Download a repository, or one file of it, and return its folder.

    A snapshot is used even for a single file: it makes one request to the Hub, whereas downloading
    a file by name retries for half a minute.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=only, etag_timeout=_HUB_SECONDS))
    except (OSError, ValueError) as error:  # the base classes of the library's errors
        raise _unreachable(repository, error) from error


def _cached(repository: str) -> Path | None:
    """Return the folder of a repository in the Hub's cache, if it contains the config."""
    with importing("huggingface_hub"):
        from huggingface_hub import try_to_load_from_cache
    try:
        found = try_to_load_from_cache(repository, "config.json")
    except ValueError as error:  # not a valid repository name
        raise _unreachable(repository, error) from error
    return Path(found).parent if isinstance(found, str) else None


def _unreachable(repository: str, error: Exception) -> BackendUnavailable:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return BackendUnavailable(
        f"{repository} is not on this machine and cannot be downloaded from the Hugging Face Hub: "
        f"{reason}",
        hint=f"Download it on a machine with network access (huggingface-cli download {repository})"
        " and set its folder in tts.qwen.direct.models.",
        backend=BACKEND,
    )
