"""The training loop, on accelerate: epochs, steps, and what is told of them."""

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
from storycore_tts.domain.errors import GenerationFailed
from storycore_tts.domain.progress import Progress, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from storycore_tts.adapters.direct.training.features import Example
    from storycore_tts.domain.requests import TrainingRequest

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Epoch:
    """An epoch that is done.

    Args:
        number: From 0.
        loss: Mean of its steps, in nats.
        progress: What was told of its last step.
    """

    number: int
    loss: float
    progress: Progress


class Training:
    """A model, the examples it learns from, and an optimizer between them.

    Everything that is drawn by lot depends on the seed and on the epoch's number alone, so that a
    training that goes on after an epoch does what it would have done without the break.

    Args:
        model: The package's ``Qwen3TTSForConditionalGeneration``, on its device.
        examples: At least one.
        voice: The speaker's embedding, shape (hidden,), on the model's device.
        request: Learning rate, epochs, batch size, accumulation.
        device: Where the model is.
        dtype: What is computed in; the weights are float32 in any case. In bfloat16 most updates
            are too small to change a weight.
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
        # The caller chooses the device, not accelerate; batches are moved in _steps.
        self._accelerator = Accelerator(
            device_placement=False,
            mixed_precision="no",
            gradient_accumulation_steps=request.gradient_accumulation_steps,
            dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=seed),
        )
        sequence: Any = list(examples)  # torch's types know Dataset only; any sequence will do
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
        """Steps in all epochs."""
        return self._epochs * len(self._loader)

    def epochs(self, start: int, report: Report, cancelled: Cancelled) -> Iterator[Epoch]:
        """Train, and yield after each epoch, for it to be saved.

        Args:
            start: Number of the first epoch to do, from 0.
            report: Is told of each step.
            cancelled: Asked before each step.

        Raises:
            TrainingCancelled: ``cancelled`` said so.
            GenerationFailed: The loss is no finite number any more.
        """
        clock = _Clock(self.steps - start * len(self._loader))
        for number in range(start, self._epochs):
            torch.manual_seed(self._seed + number)
            self._loader.set_epoch(number)
            self._model.train()
            losses = []
            progress = Progress(Stage.TRAINING)  # replaced at once: there is at least one example
            for loss in self._steps(cancelled):
                if not math.isfinite(loss):
                    raise GenerationFailed(
                        f"The training came apart in epoch {number + 1}: its loss is {loss}.",
                        hint="Lower learning_rate; what the last epoch left is kept.",
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
        """Go through the examples once; yield the loss of each batch, in nats."""
        try:
            for batch in self._loader:
                check(cancelled)
                # The gradients of an epoch's last batches are applied even if they are too few.
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
            self._loader.end()  # accelerate keeps a loader that was left early, for ever

    def _computing(self) -> torch.autocast:
        half = self._dtype is not torch.float32
        return torch.autocast(self._device.partition(":")[0], self._dtype, enabled=half)


class _Clock:
    """How long it will take.

    Args:
        steps: That are to be done, saving and samples between them.
    """

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._done = 0
        self._began = time.monotonic()

    def tick(self) -> str:
        """Count a step, and say what is left: "12 s left"."""
        self._done += 1
        self._left -= 1
        return f"{_spoken((time.monotonic() - self._began) / self._done * self._left)} left"


def _spoken(seconds: float) -> str:
    """Return a duration as people say it; ``seconds`` as measured."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
