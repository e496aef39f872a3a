"""References that were prepared for cloning, kept for the next line in the same voice."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from storycore_tts.domain.requests import ReferenceAudio


@dataclass(frozen=True)
class PromptKey:
    """What a prepared reference depends on.

    Args:
        model: The checkpoint that prepared it, in the state in which it was loaded.
        audio: Hash of the recording's samples and rate.
        transcript: What is said in it.
        x_vector_only: Whether the timbre alone was taken.
    """

    model: object
    audio: str
    transcript: str
    x_vector_only: bool

    @classmethod
    def of(cls, model: object, reference: ReferenceAudio, *, x_vector_only: bool) -> PromptKey:
        """Hash the recording; its transcript plays no part where the timbre alone is taken."""
        rate = f"{reference.sample_rate}:".encode()
        audio = hashlib.sha256(rate + reference.samples.tobytes()).hexdigest()
        transcript = "" if x_vector_only else reference.transcript or ""
        return cls(model, audio, transcript, x_vector_only)


class PromptCache:
    """A bounded number of bytes of prepared references; the least recently used go first.

    It is used in one thread at a time: whoever has the turn.

    Args:
        limit: The most that all of them may occupy, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[PromptKey, tuple[Any, int]] = OrderedDict()
        self.size = 0
        """Bytes in use."""

    def get(self, key: PromptKey, prepare: Callable[[], tuple[Any, int]]) -> Any:
        """Return the prepared reference; ``prepare`` makes it, and says how many bytes it is."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        prompt, size = prepare()
        if size <= self._limit:
            self._kept[key] = (prompt, size)
            self.size += size
        while self.size > self._limit:
            _, (_, freed) = self._kept.popitem(last=False)
            self.size -= freed
        return prompt

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self.size = 0
