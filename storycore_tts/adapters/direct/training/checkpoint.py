"""Output of a training on disk; each folder is written atomically.

::

    output_dir/
      checkpoint-epoch-1/          every validate_every-th epoch and the last one; epochs from 0
        config.json, model.safetensors, …    loads in qwen_tts, here, and in the ComfyUI nodes
        validation.wav                       test_text in the new voice
        training.json                        its parameters, and its losses so far
      training-state-epoch-2/      the last complete epoch: weights, optimizer, training.json

There is one state, three times the size of the weights in fp32; it is deleted after the last epoch.
Folders are written under a temporary name, synced and renamed. Temporary folders left by a crash
are deleted by the next training in the same output folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from storycore_tts.adapters.direct.failures import BACKEND
from storycore_tts.adapters.direct.training.voice import SLOT
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest, shown
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT = "checkpoint-epoch-"
STATE = "training-state-epoch-"
_PARTIAL = ".partial-"  # being written, or being deleted
_RECORD = "training.json"
_WEIGHTS = "model.safetensors"
_OPTIMIZER = "optimizer.pt"


@dataclass(frozen=True)
class Record:
    """Metadata of a checkpoint or a state.

    Args:
        terms: Everything that determines the result: request, dataset, base model, seed, dtype.
        losses: Mean loss of each completed epoch, in nats.
    """

    terms: Mapping[str, object]
    losses: tuple[float, ...]

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return len(self.losses)


class OutputFolder:
    """The output folder of a training.

    Args:
        path: Path of the folder; created if missing.
        terms: See ``Record``; must be serializable as JSON without changes.
    """

    def __init__(self, path: Path, terms: Mapping[str, object]) -> None:
        self._path = path
        self._terms = dict(terms)

    def open(self) -> None:
        """Create the folder and delete what a crash left; complete folders are kept.

        Raises:
            InvalidRequest: The folder contains checkpoints of another training, or cannot be
                written to.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            for kind in (CHECKPOINT, STATE):
                for left in self._path.glob(f"{_PARTIAL}{kind}*"):
                    shutil.rmtree(left)
            probe = self._path / f"{_PARTIAL}{CHECKPOINT}0"
            probe.mkdir()  # fails early, not after the first epoch
            probe.rmdir()
        except OSError as error:
            raise InvalidRequest(
                f"Cannot write to the output folder {self._path}: {error.strerror}."
            ) from error
        for folder in (*self._whole(CHECKPOINT), *self._whole(STATE)):
            self._refuse_stranger(folder)

    def last_checkpoint(self) -> tuple[Path, Record] | None:
        """Return the checkpoint of the latest epoch, or None."""
        return self._last(CHECKPOINT)

    def last_state(self) -> tuple[Path, Record] | None:
        """Return the latest state, or None; ``read_state`` loads it."""
        return self._last(STATE)

    def write_checkpoint(
        self,
        losses: tuple[float, ...],
        *,
        base_model: Path,
        weights: Mapping[str, Tensor],
        speaker: str,
        sample: Samples,
    ) -> Path:
        """Write the checkpoint of the last of these epochs, in upstream's format.

        Args:
            losses: Mean loss of each completed epoch.
            base_model: Folder of the base model; everything but its weights is copied.
            weights: Weights of the model without its speaker encoder, with the voice in its slot.
            speaker: Name of the speaker, as the package looks it up.
            sample: Sample of the voice, at 24 kHz.

        Returns:
            The folder of the checkpoint.
        """
        target = self._path / f"{CHECKPOINT}{len(losses) - 1}"
        with _written_whole(target) as folder:
            shutil.copytree(
                base_model,
                folder,
                ignore=_weights_of(base_model),
                copy_function=shutil.copyfile,  # without the mode: files of the Hub are read-only
                dirs_exist_ok=True,
            )
            _write_config(folder / "config.json", speaker)
            self._write(folder, weights, losses)
            Speech(sample, SAMPLE_RATE, backend=BACKEND, model="custom").save(
                folder / "validation.wav"
            )
        return target

    def write_state(
        self, losses: tuple[float, ...], weights: Mapping[str, Tensor], optimizer: Mapping[str, Any]
    ) -> None:
        """Write the state after the last of these epochs, and delete older states.

        Args:
            losses: Mean loss of each completed epoch.
            weights: Weights of the model.
            optimizer: State of the optimizer.
        """
        target = self._path / f"{STATE}{len(losses) - 1}"
        with _written_whole(target) as folder:
            self._write(folder, weights, losses)
            torch.save(optimizer, folder / _OPTIMIZER)
        self.drop_states(keep=target)

    def drop_states(self, *, keep: Path | None = None) -> None:
        """Delete all states except ``keep``."""
        for folder in self._whole(STATE):
            if folder != keep:
                _delete(folder)

    def _write(
        self, folder: Path, weights: Mapping[str, Tensor], losses: tuple[float, ...]
    ) -> None:
        whole = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
        save_file(whole, folder / _WEIGHTS, metadata={"format": "pt"})  # required by transformers
        record = {"terms": self._terms, "losses": losses}
        (folder / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")

    def _whole(self, kind: str) -> list[Path]:
        """Return the complete folders of a kind, in order of epochs."""
        found = {
            int(folder.name.removeprefix(kind)): folder
            for folder in self._path.glob(f"{kind}*")
            if folder.name.removeprefix(kind).isdecimal()
        }
        return [found[epoch] for epoch in sorted(found)]

    def _last(self, kind: str) -> tuple[Path, Record] | None:
        folders = self._whole(kind)
        return (folders[-1], _read_record(folders[-1])) if folders else None

    def _refuse_stranger(self, folder: Path) -> None:
        """Check that a folder was written by a training with the same terms."""
        try:
            terms = _read_record(folder).terms
        except (OSError, ValueError, KeyError, TypeError):
            reason = f"it has no readable {_RECORD}"
        else:
            differing = [
                f"{name} was {shown(terms.get(name))} and is now {shown(value)}"
                for name, value in self._terms.items()
                if terms.get(name) != value
            ]
            if not differing:
                return
            reason = "; ".join(differing)
        raise InvalidRequest(
            f"{folder} belongs to another training: {reason}.",
            hint="Use another output_dir, or delete the old checkpoints. To resume that training, "
            "send the same request.",
        )


def read_state(folder: Path, *, device: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load the weights and the optimizer state of a training state to a device.

    Args:
        folder: Folder of the state.
        device: torch's name of the device.
    """
    optimizer: dict[str, Any] = torch.load(
        folder / _OPTIMIZER, map_location=device, weights_only=True
    )
    return load_file(folder / _WEIGHTS, device=device), optimizer


def fingerprint(base_model: Path) -> str:
    """Return an identifier of a base model: SHA-256 of its config and the sizes of its weights."""
    sizes = sorted((file.name, file.stat().st_size) for file in base_model.glob("*.safetensors"))
    config = (base_model / "config.json").read_text(encoding="utf-8")
    return hashlib.sha256(json.dumps([config, sizes]).encode()).hexdigest()


def _read_record(folder: Path) -> Record:
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    return Record(dict(record["terms"]), tuple(record["losses"]))


def _write_config(file: Path, speaker: str) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    config["tts_model_type"] = "custom_voice"
    config["talker_config"]["spk_id"] = {speaker: SLOT}
    config["talker_config"]["spk_is_dialect"] = {speaker: False}
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def _weights_of(base_model: Path) -> Any:
    """Return a filter for ``copytree`` that omits the weights of the base model and hidden files.

    The weights of the codec, in ``speech_tokenizer``, are copied.
    """
    beside = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json", "*.bin", ".*")

    def ignore(folder: str, names: list[str]) -> set[str]:
        return beside(folder, names) if Path(folder) == base_model else set()

    return ignore


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """Provide a temporary folder that is synced and renamed to ``target`` at the end.

    An existing target is replaced: it is from the same training, interrupted before the state of
    the epoch was written.
    """
    partial = target.with_name(f"{_PARTIAL}{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.rglob("*"):
            _sync(file)
        _sync(partial)
        if target.exists():
            _delete(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # only exists after an error
    _sync(target.parent)


def _delete(folder: Path) -> None:
    """Delete a folder; if interrupted, the rest does not look like a complete folder."""
    doomed = folder.with_name(f"{_PARTIAL}{folder.name}.old")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _sync(path: Path) -> None:
    """Sync a file or a folder to disk; on Windows, only files opened for writing can be synced."""
    windows = os.name == "nt"
    if windows and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
