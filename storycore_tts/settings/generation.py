"""How the model draws its tokens, and how it is trained."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from storycore_tts.domain.sampling import MAX_SEED, Sampling
from storycore_tts.settings.block import SettingsBlock


class QwenTTSGenerationConfig(SettingsBlock):
    """How the model draws its tokens, unless a request says otherwise."""

    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = 2048
    """Longest audio in tokens; 12.5 of them are one second."""
    top_p: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Nucleus."""
    top_k: Annotated[int, Field(ge=0, le=1000)] = 20
    """Candidates; 0 for all of them."""
    temperature: Annotated[float, Field(ge=0.01, le=5)] = 1.0
    """The higher, the less alike are two readings of a line."""
    repetition_penalty: Annotated[float, Field(ge=0.5, le=5)] = 1.05
    """1 is none."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    """None: a fresh one for each line, which the result records."""

    def sampling(self, **overrides: Any) -> Sampling:
        """Return these values as a request takes them; overrides that are None change nothing."""
        given = {name: value for name, value in overrides.items() if value is not None}
        return Sampling(**{**self.model_dump(), **given})


class QwenTTSTrainingConfig(SettingsBlock):
    """How a voice is trained, unless a request says otherwise."""

    learning_rate: Annotated[float, Field(ge=1e-7, le=1e-3)] = 2e-5
    """Size of the optimiser's steps."""
    num_epochs: Annotated[int, Field(ge=1, le=100)] = 10
    """Rounds over the dataset."""
    batch_size: Annotated[int, Field(ge=1, le=8)] = 1
    """Recordings a step."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=64)] = 4
    """Steps a weight update."""
    validate_every: Annotated[int, Field(ge=1, le=10)] = 2
    """Epochs between validation samples."""
