"""What is installed of the packages that the model needs, and which versions work together.

Two distributions hold a ``qwen_tts``: ``qwen-tts``, for transformers 4.57, and ``qwen-tts-hf``, for
transformers 5.15 to 5.20. Each works with its own line of transformers.
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
    """A package of a version that does not work with the others; ``advice`` mends it."""

    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.message} {self.advice}"


@dataclass(frozen=True)
class Installed:
    """What is installed, by its metadata: nothing is imported for it.

    Args:
        holder: The distribution that holds ``qwen_tts``, such as "qwen-tts"; "" if none does.
        versions: By distribution; what is missing is not in there.
    """

    holder: str
    versions: Mapping[str, str]

    @classmethod
    @cache
    def here(cls) -> Installed:
        """Look at this environment."""
        holder = " and ".join(sorted(set(packages_distributions().get("qwen_tts") or ())))
        names = (holder, "torchaudio", *_FITTING["qwen-tts"])
        return cls(holder, {name: found for name in names if (found := _version(name))})

    @property
    def version(self) -> str:
        """Version of what holds ``qwen_tts``; "" if that is not installed."""
        return self.versions.get(self.holder, "")

    def details(self) -> dict[str, str]:
        """Return what is installed of each package, and what works, for people."""
        told = {"qwen_tts": f"{self.holder} {self.version}".strip() or "not installed"}
        for name, works in self._fitting().items():
            told[name] = f"{self.versions.get(name, 'not installed')} (works: {works})"
        told["torchaudio"] = f"{self.versions.get('torchaudio', 'not installed')} (not needed)"
        return told

    def misfit(self) -> Misfit | None:
        """Return the first package of a version that does not work here, if there is one."""
        if self.holder and self.holder not in _FITTING:
            told = f"qwen_tts is from {self.holder} here; qwen-tts and qwen-tts-hf work."
            return Misfit(told, INSTALL)
        for name, works in self._fitting().items():
            found = self.versions.get(name)
            if found and not _holds(works, found):
                works_with = f"{self.holder or 'qwen-tts'} {self.version}".strip()
                return Misfit(
                    f"{works_with} works with {name} {works}; {found} is installed.",
                    f"pip install '{name}{works}'",
                )
        return None

    def _fitting(self) -> Mapping[str, str]:
        return _FITTING.get(self.holder, _FITTING["qwen-tts"])


def _holds(works: str, installed: str) -> bool:
    """Tell whether ">=first,<beyond" holds a version."""
    first, beyond = map(_numbers, works.split(","))
    return first <= _numbers(installed.partition("+")[0]) < beyond


def _numbers(told: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", told)[:3]))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except (PackageNotFoundError, ValueError):  # ValueError: there is no name to ask for
        return ""
