"""A StoryCore-Engine checkout as texts: what the rules see, and what they return.

A text holds one character for each byte of its file (latin-1): whatever the encoding is, all that
is not ours comes back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from storycore_tts.services.migration.errors import CannotGoBack, NotACheckout, UnfitFile
from storycore_tts.services.migration.reading import settings
from storycore_tts.services.migration.regions import Put, Region, put_in, regions_in, take_out

REQUIREMENTS = "requirements.txt"
AI_SERVICE = "backend/video_editor_ai_service.py"
MAIN_API = "backend/main_api.py"
AUTH = "backend/auth.py"
TTS_SERVICE = "backend/qwen_tts_service.py"
INTEGRATION = "src/qwen3_tts_integration.py"
PROMPTS = "src/qwen3_tts_prompt_strategy.py"
OLD_PACKAGE = "src/qwen_tts_comfyui/__init__.py"
OLD_CLIENT = "src/qwen_tts_comfyui/client.py"
OLD_CONFIG = "src/qwen_tts_comfyui/config.py"
SETTINGS = "data/storycore-tts.yaml"
"""Where settings go: the engine's container has data/, as a volume, and no config/."""

_NEEDED = (REQUIREMENTS, AI_SERVICE, MAIN_API)
_OTHERS = (AUTH, TTS_SERVICE, INTEGRATION, PROMPTS, OLD_PACKAGE, OLD_CLIENT, OLD_CONFIG)
WATCHED = (*_NEEDED, *_OTHERS)

Lines = Mapping[str, Sequence[str]]
"""Name of an edit -> its lines, where users may choose them."""


@dataclass(frozen=True)
class Checkout:
    """The files of a checkout that a migration is about.

    Args:
        texts: Path, relative and with slashes -> text; a file that is not there is not in it.
        settings: Path of the YAML file that holds ``tts.qwen``, or will.
        lines: What edits write that were chosen.
        ids: Path -> the id that git has for the content.
        replaced: Such an id, of what our lines replaced -> the text.
    """

    texts: Mapping[str, str]
    settings: str = SETTINGS
    lines: Lines = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)

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

    def regions(self) -> Iterator[tuple[str, Region]]:
        """Yield our regions, each with its path.

        Raises:
            LocalChanges: Marks are no longer one pair.
        """
        for path, text in self.texts.items():
            for region in regions_in(path, text):
                yield path, region

    def written(self) -> Lines:
        """Return what stands between our marks: name -> lines."""
        return {
            region.name: self.texts[path][region.span[1] : region.span[2]]
            .replace("\r\n", "\n")
            .split("\n")[:-1]
            for path, region in self.regions()
        }

    def with_put(self, put: Put, name: str) -> Checkout:
        """Return the checkout with lines of ours in one of its files."""
        text = put_in(self.texts.get(put.path), put, name)
        return replace(self, texts={**self.texts, put.path: text})

    def back_to(self, phase: int) -> Checkout:
        """Return the checkout without our lines of later phases.

        Raises:
            CannotGoBack: Git lacks what some of them replaced, or other lines need them.
            LocalChanges: Marks are no longer one pair.
        """
        later = [one for one in self.regions() if one[1].phase > phase]
        if not later:
            return self
        path, region = max(later, key=lambda one: one[1].phase)  # the last of a new file goes last
        texts = dict(self.texts)
        old = self.replaced.get(region.replaces or "", None if region.replaces else "")
        if old is None:
            raise CannotGoBack(
                f"git does not have {region.replaces}, which {path} was before.",
                hint="In a shallow clone, git fetch --unshallow gets it.",
            )
        text = texts.pop(path)
        rest = take_out(text, region, old)
        if path == self.settings and region.phase == 1:
            _check_rest(path, text, rest or "", text[region.span[3] :])
        return replace(self, texts=texts if rest is None else {**texts, path: rest}).back_to(phase)


def _check_rest(path: str, text: str, rest: str, below: str) -> None:
    """Refuse to leave settings behind that mean something else without our lines."""
    said = {key: value for key, value in settings(path, text).items() if key != "tts"}
    with suppress(UnfitFile):
        if settings(path, rest) == said:
            return
    lines = " | ".join(line.strip() for line in below.split("\n") if line.strip())
    raise CannotGoBack(
        f"{path}: what stands below our lines is no document without them: "
        + lines.encode("latin-1").decode(errors="replace"),
        hint="Move it between the marks or remove it, commit that, and run this again.",
    )
