"""The training loop, based on accelerate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch.utils.data import DataLoader

from storycore_tts.adapters.direct.training import recipe
from storycore_tts.adapters.direct.training.cancelling import Cancelled, check
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.errors import GenerationFailed

if TYPE_CHECKING:
    from torch import Tensor

    from storycore_tts.adapters.direct.training.features import Example
    from storycore_tts.domain.requests import TrainingRequest

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Epoch:
    """A completed epoch.

    Args:
        number: Number of the epoch, from 0.
        loss: Mean loss of its steps, in nats.
        progress: Progress report of its last step.
    """

    number: int
    loss: float
    progress: Progress


class Training:
    """A training: model, examples and optimizer.

    All random numbers depend only on the seed and the number of the epoch, so that a resumed
    training gives the same result as an uninterrupted one.

    Args:
        model: A ``Qwen3TTSForConditionalGeneration`` of the package, on its device.
        examples: The examples; at least one.
        voice: Embedding of the speaker, shape (hidden,), on the device of the model.
        request: Learning rate, epochs, batch size and gradient accumulation.
        device: Device of the model.
        dtype: Precision of the computation. Weights are always float32, since most updates are too
            small to change a bfloat16 weight.
        seed: 0..2**63.
    """

    def __init__(
        self,
        model: Any,
        examples: Sequence[Example],
        voice: Tensor,
        request: TrainingRequest,
        *,
        device: str,
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        self._voice = voice
        self._dtype = dtype
        self._epochs = request.num_epochs
        self._device = device
        self._seed = seed
        # The caller chooses the device, not accelerate; batches are moved to it in _steps.
        self._accelerator = Accelerator(
            device_placement=False,
            mixed_precision="no",
            gradient_accumulation_steps=request.gradient_accumulation_steps,
            dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=seed),
        )
        sequence: Any = list(examples)  # any sequence works, although torch's types require Dataset
        loader: Any = DataLoader(
            sequence,
            batch_size=request.batch_size,
            shuffle=True,
            collate_fn=lambda batch: recipe.lay_out(batch, model.config),
        )
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=request.learning_rate, weight_decay=recipe.WEIGHT_DECAY
        )
        self._model, self.optimizer, self._loader = self._accelerator.prepare(
            model, optimizer, loader
        )

    @property
    def steps(self) -> int:
        """Number of steps in all epochs."""
        return self._epochs * len(self._loader)

    def epochs(self, start: int, report: Report, cancelled: Cancelled) -> Iterator[Epoch]:
        """Train, and yield after each epoch, so that it can be saved.

        Args:
            start: Number of the first epoch, from 0.
            report: Called after each step.
            cancelled: Called before each step; returns whether to stop.

        Raises:
            TrainingCancelled: ``cancelled`` returned True.
            GenerationFailed: The loss is no longer finite.
        """
        clock = _Clock(self.steps - start * len(self._loader))
        for number in range(start, self._epochs):
            torch.manual_seed(self._seed + number)
            self._loader.set_epoch(number)
            self._model.train()
            losses = []
            progress = Progress(Stage.TRAINING)  # replaced, since there is at least one example
            for loss in self._steps(cancelled):
                if not math.isfinite(loss):
                    raise GenerationFailed(
                        f"The training diverged in epoch {number + 1}: the loss is {loss}.",
                        hint="Lower learning_rate. Checkpoints of earlier epochs are kept.",
                    )
                losses.append(loss)
                done = number * len(self._loader) + len(losses)
                progress = Progress(
                    Stage.TRAINING,
                    done / self.steps,
                    clock.tick(),
                    epoch=number + 1,
                    step=done,
                    total_steps=self.steps,
                    loss=loss,
                )
                report(progress)
            yield Epoch(number, sum(losses) / len(losses), progress)

    def _steps(self, cancelled: Cancelled) -> Iterator[float]:
        """Train one epoch; yield the loss of each batch, in nats."""
        try:
            for batch in self._loader:
                check(cancelled)
                # At the end of an epoch, accumulated gradients are applied even if incomplete.
                with self._accelerator.accumulate(self._model):
                    with self._computing():
                        loss = recipe.loss(self._model, batch.to(self._device), self._voice)
                    self._accelerator.backward(loss)
                    if self._accelerator.sync_gradients:
                        self._accelerator.clip_grad_norm_(
                            self._model.parameters(), recipe.LARGEST_GRADIENT
                        )
                    self.optimizer.step()
                    self.optimizer.zero_grad()
                yield float(loss.detach())
        finally:
            self._loader.end()  # otherwise accelerate keeps unfinished loaders forever

    def _computing(self) -> torch.autocast:
        half = self._dtype is not torch.float32
        return torch.autocast(self._device.partition(":")[0], self._dtype, enabled=half)


class _Clock:
    """Estimates the remaining time.

    Args:
        steps: Number of remaining steps.
    """

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._done = 0
        self._began = time.monotonic()

    def tick(self) -> str:
        """Count a step, and return the remaining time: "12 s left"."""
        self._done += 1
        self._left -= 1
        return f"{_duration((time.monotonic() - self._began) / self._done * self._left)} left"


def _duration(seconds: float) -> str:
    """Format a duration for display."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
