"""Cache of references that were prepared for cloning."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from storycore_tts.domain.requests import ReferenceAudio


@dataclass(frozen=True)
class PromptKey:
    """Cache key of a prepared reference.

    Args:
        model: The checkpoint that prepared it, including its state.
        audio: ``ReferenceAudio.sha256`` of the recording.
        transcript: Transcript of the recording.
        x_vector_only: Whether only the speaker embedding was used.
    """

    model: object
    audio: str
    transcript: str
    x_vector_only: bool

    @classmethod
    def of(cls, model: object, reference: ReferenceAudio, *, x_vector_only: bool) -> PromptKey:
        """Return the key for a recording; with ``x_vector_only``, its transcript is ignored.

        Args:
            model: The checkpoint, including its state.
            reference: The recording.
            x_vector_only: Whether only the speaker embedding is used.
        """
        transcript = "" if x_vector_only else reference.transcript or ""
        return cls(model, reference.sha256, transcript, x_vector_only)


class PromptCache:
    """A cache of prepared references with a size limit; the least recently used are dropped first.

    Filled only by the thread that holds the turn; any thread may remove entries.

    Args:
        limit: Maximum total size, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[PromptKey, tuple[Any, int]] = OrderedDict()
        self.size = 0
        """Total size, in bytes."""

    def get(self, key: PromptKey, prepare: Callable[[], tuple[Any, int]]) -> Any:
        """Return the prepared reference; ``prepare`` creates it and returns it with its size.

        Args:
            key: The key.
            prepare: Returns the prepared reference and its size in bytes.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        prompt, size = prepare()
        with self._lock:
            if size <= self._limit:
                self._kept[key] = (prompt, size)
                self.size += size
            while self.size > self._limit:
                _, (_, freed) = self._kept.popitem(last=False)
                self.size -= freed
        return prompt

    def forget(self, audio: str) -> None:
        """Drop all entries of a recording.

        Args:
            audio: ``ReferenceAudio.sha256`` of the recording.
        """
        with self._lock:
            for key in [key for key in self._kept if key.audio == audio]:
                self.size -= self._kept.pop(key)[1]

    def clear(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._kept.clear()
            self.size = 0
