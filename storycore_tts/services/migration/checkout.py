"""A StoryCore-Engine checkout as texts: what the rules see, and what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from storycore_tts.services.migration.errors import NotACheckout
from storycore_tts.services.migration.regions import Put, Region, put_in, take_out

REQUIREMENTS = "requirements.txt"
AI_SERVICE = "backend/video_editor_ai_service.py"
MAIN_API = "backend/main_api.py"
INTEGRATION = "src/qwen3_tts_integration.py"
PROMPTS = "src/qwen3_tts_prompt_strategy.py"
TTS_SERVICE = "backend/qwen_tts_service.py"
OLD_CLIENT = "src/qwen_tts_comfyui/__init__.py"
SETTINGS = ("storycore-tts.yaml", "config/storycore-tts.yaml", "config/default.yaml")
"""Where settings are looked for, in the order in which the package looks for them itself."""

WATCHED = (REQUIREMENTS, AI_SERVICE, MAIN_API, INTEGRATION, PROMPTS, TTS_SERVICE, OLD_CLIENT)
_NEEDED = (REQUIREMENTS, AI_SERVICE, MAIN_API)


@dataclass(frozen=True)
class Checkout:
    """The files of a checkout that a migration is about.

    Args:
        texts: Path, relative and with slashes -> text; a file that is not there is not in it.
        settings: Path of the YAML file that holds ``tts.qwen``, or will.
        regions: Our lines in these files, in the order in which they came.
    """

    texts: Mapping[str, str]
    settings: str = SETTINGS[-1]
    regions: tuple[Region, ...] = field(default=())

    def check(self) -> None:
        """Refuse what is no StoryCore-Engine.

        Raises:
            NotACheckout: A file that every checkout has is missing.
        """
        missing = [path for path in _NEEDED if path not in self.texts]
        if missing:
            raise NotACheckout(
                f"This is no checkout of StoryCore-Engine: there is no {missing[0]}.",
                hint="Name the folder that holds backend/, src/ and requirements.txt.",
            )

    def with_put(self, put: Put, *, phase: int, name: str) -> Checkout:
        """Return the checkout with lines of ours in one of its files."""
        text, region = put_in(self.texts.get(put.path), put, phase=phase, name=name)
        # A record of marks that are gone from their file speaks of lines that are gone as well.
        others = tuple(known for known in self.regions if known.name != name)
        texts = {**self.texts, put.path: text}
        return replace(self, texts=texts, regions=(*others, region))

    def without(self, region: Region) -> Checkout:
        """Return the checkout as it was before a region of ours."""
        texts = dict(self.texts)
        if region.path in texts:
            rest = take_out(texts.pop(region.path), region)
            if rest is not None:
                texts[region.path] = rest
        regions = tuple(known for known in self.regions if known != region)
        return replace(self, texts=texts, regions=regions)
