"""Default sampling and training parameters."""

from __future__ import annotations

from typing import Any

from storycore_tts.domain.sampling import Sampling, SamplingParameters
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.parameter_fields import with_parameters
from storycore_tts.settings.block import SettingsBlock


@with_parameters(SamplingParameters)
class QwenTTSGenerationConfig(SettingsBlock, SamplingParameters):  # type: ignore[misc]  # frozen
    """Sampling parameters, unless a request overrides them."""

    def sampling(self, **overrides: Any) -> Sampling:
        """Return the parameters for a request.

        Args:
            overrides: Values to replace; None keeps the configured value.

        Raises:
            InvalidRequest: A value is out of range.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        return Sampling(**{**self.model_dump(), **given})


@with_parameters(TrainingParameters)
class QwenTTSTrainingConfig(SettingsBlock, TrainingParameters):  # type: ignore[misc]  # frozen
    """Training parameters, unless a request overrides them."""
