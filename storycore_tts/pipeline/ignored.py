"""Warns about parameters that an adapter does not support, in one place."""

from __future__ import annotations

from storycore_tts.domain.parameters import ignored_parameters
from storycore_tts.domain.sampling import SamplingParameters
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.ports import Capabilities


def ignored_by(name: str, capabilities: Capabilities, request: object) -> tuple[str, ...]:
    """Return a warning about ignored parameters; () if there are none.

    Args:
        name: The adapter's name.
        capabilities: The adapter's capabilities.
        request: The request, of any operation.
    """
    taken, sampling = capabilities.parameters, getattr(request, "sampling", None)
    ignored: list[str] = []
    if taken is None:
        pass
    elif isinstance(request, TrainingParameters):
        ignored = ignored_parameters(request, TrainingParameters, taken)
    elif sampling is not None:  # seeds are covered by ``Capabilities.seeds``
        ignored = ignored_parameters(sampling, SamplingParameters, taken | {"seed"})
    return (f"{name} ignores {', '.join(ignored)}: it has no such parameter",) if ignored else ()
