"""Installed versions of the packages that the model needs, and compatible versions.

Two distributions provide ``qwen_tts``: ``qwen-tts`` for transformers 4.57, and ``qwen-tts-hf`` for
transformers 5.15 to 5.20.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

INSTALL = "pip install 'storycore-tts[direct]'"

_EITHER_LINE = {"torch": ">=2.4,<3", "accelerate": ">=1.12,<2"}
_FITTING = {
    "qwen-tts": {
        **_EITHER_LINE,
        "transformers": ">=4.57.3,<4.58",
        "huggingface-hub": ">=0.34,<1",
    },
    "qwen-tts-hf": {
        **_EITHER_LINE,
        "transformers": ">=5.15.1,<5.21",
        "huggingface-hub": ">=1.5,<2",
    },
}


@dataclass(frozen=True)
class Misfit:
    """A package in an incompatible version; ``advice`` is the command that corrects it."""

    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.message} {self.advice}"


@dataclass(frozen=True)
class Installed:
    """Installed versions, read from package metadata without importing anything.

    Args:
        holder: The distribution that provides ``qwen_tts``, such as "qwen-tts"; "" if none does.
        versions: Distribution -> version, of those that are installed.
    """

    holder: str
    versions: Mapping[str, str]

    @classmethod
    @cache
    def here(cls) -> Installed:
        """Return the versions in this environment; cached."""
        holder = " and ".join(sorted(set(packages_distributions().get("qwen_tts") or ())))
        names = (holder, "torchaudio", *_FITTING["qwen-tts"])
        return cls(holder, {name: found for name in names if (found := _version(name))})

    @property
    def version(self) -> str:
        """Version of ``holder``; "" if it is not installed."""
        return self.versions.get(self.holder, "")

    def details(self) -> dict[str, str]:
        """Return installed and compatible versions by package, for display."""
        found = {"qwen_tts": f"{self.holder} {self.version}".strip() or "not installed"}
        for name, works in self._fitting().items():
            found[name] = f"{self.versions.get(name, 'not installed')} (compatible: {works})"
        found["torchaudio"] = f"{self.versions.get('torchaudio', 'not installed')} (not required)"
        return found

    def misfit(self) -> Misfit | None:
        """Return the first package in an incompatible version, if any."""
        if self.holder and self.holder not in _FITTING:
            message = f"qwen_tts is provided by {self.holder} instead of qwen-tts or qwen-tts-hf."
            return Misfit(message, INSTALL)
        for name, works in self._fitting().items():
            found = self.versions.get(name)
            if found and not _holds(works, found):
                works_with = f"{self.holder or 'qwen-tts'} {self.version}".strip()
                return Misfit(
                    f"{works_with} requires {name} {works}, but {found} is installed.",
                    f"pip install '{name}{works}'",
                )
        return None

    def _fitting(self) -> Mapping[str, str]:
        return _FITTING.get(self.holder, _FITTING["qwen-tts"])


def _holds(works: str, installed: str) -> bool:
    """Return whether ">=first,<beyond" includes a version."""
    first, beyond = map(_numbers, works.split(","))
    return first <= _numbers(installed.partition("+")[0]) < beyond


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except (PackageNotFoundError, ValueError):  # ValueError: the name is empty
        return ""
