"""Which checkpoint speaks, where it is, and what its config.json says of it, without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from storycore_tts.adapters.direct.failures import BACKEND, importing
from storycore_tts.domain.errors import BackendUnavailable, InvalidRequest, UnsupportedLanguage
from storycore_tts.domain.languages import AUTO
from storycore_tts.settings import QwenTTSConfig

Kind: TypeAlias = Literal["custom_voice", "base"]
"""What a checkpoint is for, as its config.json spells it."""

_REPOSITORY = "Qwen/Qwen3-TTS-12Hz-{}"
_NEEDED = ("config.json", "model.safetensors", "speech_tokenizer/model.safetensors")
_HUB_SECONDS = 5.0  # to reach the Hub


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint by its name.

    Args:
        name: A folder on this machine, or a repository on the Hugging Face Hub.
        kind: What it must be for.
    """

    name: str
    kind: Kind

    @property
    def folder(self) -> Path | None:
        """The folder, if the name is one; a name that looks like a path always is.

        Raises:
            InvalidRequest: It begins with the home of a user that there is not.
        """
        path = at_home(self.name)
        is_path = path.is_absolute() or self.name.startswith(("~", ".")) or "\\" in self.name
        return path if is_path or self.name.count("/") != 1 or path.is_dir() else None


@dataclass(frozen=True)
class Card:
    """What a checkpoint's config.json says.

    Args:
        speakers: Its voices, in its own spelling.
        languages: What it speaks, in lower case.
        hears_instruct: The 0.6B models do not; the package drops ``instruct`` for them.
        stamp: Changes when the checkpoint is written anew, as by a second training.
    """

    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    hears_instruct: bool
    stamp: int

    def check_language(self, language: str) -> None:
        """Refuse a language that this checkpoint does not speak.

        Raises:
            UnsupportedLanguage: It does not.
        """
        if language != AUTO and language.casefold() not in self.languages:
            raise UnsupportedLanguage(
                f"This checkpoint does not speak {language}.",
                hint=f"Use one of: {', '.join((AUTO, *map(str.title, self.languages)))}.",
                backend=BACKEND,
            )


def at_home(name: str) -> Path:
    """Return the path of a name that may begin with "~".

    Raises:
        InvalidRequest: It begins with the home of a user that there is not.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise InvalidRequest(
            f"{name} is no path here: there is no such home.", backend=BACKEND
        ) from error


def configured(config: QwenTTSConfig, kind: Kind) -> Checkpoint:
    """Return the stock checkpoint of a kind, in the configured size."""
    return configured_size(config, kind, config.model_choice)


def configured_size(config: QwenTTSConfig, kind: Kind, size: str) -> Checkpoint:
    """Return the stock checkpoint of a kind, in a size ("0.6B", "1.7B")."""
    key = f"{size}-{'CustomVoice' if kind == 'custom_voice' else 'Base'}"
    named = {str(size): place for size, place in config.direct.models.items()}
    return Checkpoint(named.get(key, _REPOSITORY.format(key)), kind)


def read_card(checkpoint: Checkpoint) -> Card:
    """Read what a checkpoint is; fetches its config.json when it is on the Hub only. Blocks.

    Raises:
        BackendUnavailable: No such folder or repository, or no network to ask.
        InvalidRequest: It is a checkpoint of another kind.
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
            f"{checkpoint.name} is a {kind!r} checkpoint; to {wanted} takes a {checkpoint.kind!r} "
            "one.",
            hint="Base clones and is trained, CustomVoice and what was trained speak.",
            backend=BACKEND,
        )
    return Card(speakers, languages, str(config.get("tts_model_size")) != "0b6", stamp)


def is_here(checkpoint: Checkpoint) -> bool:
    """Tell whether all files of a checkpoint are on this machine."""
    folder = checkpoint.folder or _cached(checkpoint.name)
    return folder is not None and all((folder / name).is_file() for name in _NEEDED)


def fetched(checkpoint: Checkpoint) -> Path:
    """Return the checkpoint's folder; downloads what is not here yet. Blocks, for minutes at worst.

    Raises:
        BackendUnavailable: Files are missing, or the Hub does not answer.
    """
    folder = checkpoint.folder or _cached(checkpoint.name)
    if checkpoint.folder is None and not is_here(checkpoint):
        folder = _from_hub(checkpoint.name)
    assert folder is not None
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise BackendUnavailable(
            f"{folder} has no {' and no '.join(missing)}.",
            hint="Copy the whole checkpoint there, or name another folder in "
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
                hint="Name a folder that has one, in the request or in tts.qwen.direct.models.",
                backend=BACKEND,
                retryable=False,
            )
        return path
    folder = _cached(checkpoint.name) or _from_hub(checkpoint.name, only="config.json")
    return folder / "config.json"


def _is_there(path: Path) -> bool:
    """Tell whether there is such a file.

    Raises:
        BackendUnavailable: Nobody can tell, as where we may not look.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise BackendUnavailable(
            f"Cannot look for a checkpoint in {path.parent}: {error.strerror}.",
            hint="Let this program's user read that folder, or name another one.",
            backend=BACKEND,
            retryable=False,
        ) from error


def _from_hub(repository: str, *, only: str | None = None) -> Path:
    """Download a repository, or one file of it, and return its folder.

    Always as a snapshot: that asks the Hub once and gives up, where the download of one file by its
    name tries for half a minute.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=only, etag_timeout=_HUB_SECONDS))
    except (OSError, ValueError) as error:  # what the Hub's library raises are these two
        raise _unreachable(repository, error) from error


def _cached(repository: str) -> Path | None:
    """Return the folder in which the Hub's library keeps a repository, if it has its config."""
    with importing("huggingface_hub"):
        from huggingface_hub import try_to_load_from_cache
    try:
        found = try_to_load_from_cache(repository, "config.json")
    except ValueError as error:  # no name that a repository could have
        raise _unreachable(repository, error) from error
    return Path(found).parent if isinstance(found, str) else None


def _unreachable(repository: str, error: Exception) -> BackendUnavailable:
    told = (str(error).strip() or type(error).__name__).splitlines()[0]
    return BackendUnavailable(
        f"{repository} is not on this machine, and the Hugging Face Hub does not give it: {told}",
        hint=f"Download it where there is a network (huggingface-cli download {repository}), and "
        "name its folder in tts.qwen.direct.models.",
        backend=BACKEND,
    )
