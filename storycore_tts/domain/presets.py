"""Named presets for speaking styles, cloning and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from storycore_tts.errors import InvalidRequest, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class ClonePreset:
    """How a voice is cloned.

    Args:
        model_choice: Size of the model, "0.6B" or "1.7B".
        x_vector_only: Use the speaker embedding only; otherwise a transcript is required.
    """

    model_choice: str
    x_vector_only: bool


@dataclass(frozen=True)
class TrainingPreset:
    """How a voice is trained.

    Args:
        model_choice: Size of the Base model to start from, "0.6B" or "1.7B".
        num_epochs: Passes over the dataset.
        learning_rate: Of the optimizer.
    """

    model_choice: str
    num_epochs: int
    learning_rate: float

    def over(self, usual: Mapping[str, Any]) -> dict[str, Any]:
        """Return hyper-parameters for ``TrainingRequest``, with this preset's values applied.

        Args:
            usual: Hyper-parameters that the preset overrides.
        """
        return {**usual, **asdict(self)}


STYLES: Mapping[str, str] = MappingProxyType(
    {
        "warm_friendly": "Warm and friendly, smiling, as if talking to a good friend.",
        "professional": "Clear, composed and confident, as in a business presentation.",
        "excited": "Excited and full of energy, lively and a little fast.",
        "calm": "Calm and gentle, unhurried, with a soft and even voice.",
        "dramatic": "Dramatic and intense, with strong emphasis and telling pauses.",
        "storytelling": "Like a storyteller by the fire: vivid, varied, drawing the listener in.",
        "news_anchor": "Like a news anchor: neutral, precise, with a steady pace.",
    }
)
"""Name of a style -> its text for ``instruct``, which the 0.6B models ignore."""

EMOTIONS: Mapping[str, str] = MappingProxyType(
    {
        "neutral": "",
        "happy": "Happy, with a smile in the voice.",
        "angry": "Angry, tense and sharp, barely holding back.",
        "sad": "Sad and heavy, slow, close to tears.",
        "surprised": "Surprised, with a quick breath and a rising voice.",
        "fearful": "Fearful, breathless, with a trembling voice.",
        "determined": "Determined and firm, every word meant.",
    }
)
"""An emotion of the engine -> its text for ``instruct``."""

DIRECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "whispers": "Whispering.",
        "shouts": "Shouting, at full voice.",
        "slowly": "Slowly, with long pauses.",
        "quickly": "Quickly, without a pause.",
    }
)
"""A voice direction of the engine -> its text for ``instruct``."""

THOUGHT = "An inner thought: quiet, close and private."
"""Text for ``instruct`` for an inner thought."""

_MANNERS = {**STYLES, **EMOTIONS, **DIRECTIONS}

CLONE_PRESETS: Mapping[str, ClonePreset] = MappingProxyType(
    {
        "fast": ClonePreset("0.6B", x_vector_only=True),
        "balanced": ClonePreset("0.6B", x_vector_only=False),
        "quality": ClonePreset("1.7B", x_vector_only=False),
    }
)

TRAINING_PRESETS: Mapping[str, TrainingPreset] = MappingProxyType(
    {
        "quick": TrainingPreset("0.6B", num_epochs=5, learning_rate=3e-5),
        "standard": TrainingPreset("1.7B", num_epochs=10, learning_rate=2e-5),
        "quality": TrainingPreset("1.7B", num_epochs=20, learning_rate=1e-5),
        "low_vram": TrainingPreset("0.6B", num_epochs=10, learning_rate=2e-5),
    }
)


def manner(*said: str | None) -> str:
    """Return the text for ``instruct`` that combines styles, emotions and directions.

    Args:
        *said: Names, in any case; other text is kept as it is. None and "" are ignored.
    """
    wanted = [words.strip() for words in said if words]
    found = [_MANNERS.get(words.casefold().replace(" ", "_"), words) for words in wanted]
    found = [words for words in found if words]
    if len(found) < 2:
        return "".join(found)
    return " ".join(w if w.endswith((".", "!", "?")) else f"{w}." for w in found)


def style_instruct(name: str) -> str:
    """Return the text for ``instruct`` of a style.

    Args:
        name: Name of the style, such as "calm".

    Raises:
        InvalidRequest: There is no such style; the message lists the available ones.
    """
    return _named(STYLES, name, "style")


def clone_preset(name: str) -> ClonePreset:
    """Return a preset for cloning.

    Args:
        name: Name of the preset, such as "fast".

    Raises:
        InvalidRequest: There is no such preset; the message lists the available ones.
    """
    return _named(CLONE_PRESETS, name, "clone preset")


def training_preset(name: str) -> TrainingPreset:
    """Return a preset for training.

    Args:
        name: Name of the preset, such as "standard".

    Raises:
        InvalidRequest: There is no such preset; the message lists the available ones.
    """
    return _named(TRAINING_PRESETS, name, "training preset")


def _named(known: Mapping[str, T], name: str, what: str) -> T:
    try:
        return known[name]
    except (KeyError, TypeError):  # TypeError: not hashable
        suggestion = did_you_mean(str(name), known)
        raise InvalidRequest(
            f"There is no {what} {name!r}.{suggestion}", hint=f"Use one of: {', '.join(known)}."
        ) from None
