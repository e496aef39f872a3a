"""How the model draws its tokens, and how it is trained."""

from __future__ import annotations

from typing import Any

from storycore_tts.domain.sampling import Sampling, SamplingParameters
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.parameter_fields import with_parameters
from storycore_tts.settings.block import SettingsBlock


@with_parameters(SamplingParameters)
class QwenTTSGenerationConfig(SettingsBlock, SamplingParameters):  # type: ignore[misc]  # frozen
    """How the model draws its tokens, unless a request says otherwise."""

    def sampling(self, **overrides: Any) -> Sampling:
        """Return these values as a request takes them; overrides that are None change nothing."""
        given = {name: value for name, value in overrides.items() if value is not None}
        return Sampling(**{**self.model_dump(), **given})


@with_parameters(TrainingParameters)
class QwenTTSTrainingConfig(SettingsBlock, TrainingParameters):  # type: ignore[misc]  # frozen
    """How a voice is trained, unless a request says otherwise."""
