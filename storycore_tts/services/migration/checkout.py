"""A StoryCore-Engine checkout as texts, the input and output of the rules.

Texts have one character per byte (latin-1), so that everything but our own lines is preserved,
whatever the encoding of the file.
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
"""Default settings file: the engine's container has data/, as a volume, but no config/."""

_NEEDED = (REQUIREMENTS, AI_SERVICE, MAIN_API)
_OTHERS = (AUTH, TTS_SERVICE, INTEGRATION, PROMPTS, OLD_PACKAGE, OLD_CLIENT, OLD_CONFIG)
WATCHED = (*_NEEDED, *_OTHERS)

Lines = Mapping[str, Sequence[str]]
"""Lines of the edits that users can customise, by name of the edit."""


@dataclass(frozen=True)
class Checkout:
    """The files of a checkout that a migration concerns.

    Args:
        texts: Text of each existing file, by path (relative, with slashes).
        settings: Path of the YAML file for ``tts.qwen``.
        lines: Lines of the customisable edits.
        ids: Git blob id of each committed file, by path.
        replaced: Texts that our lines replaced, by blob id.
    """

    texts: Mapping[str, str]
    settings: str = SETTINGS
    lines: Lines = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Check that this is a StoryCore-Engine checkout.

        Raises:
            NotACheckout: A required file is missing.
        """
        missing = [path for path in _NEEDED if path not in self.texts]
        if missing:
            raise NotACheckout(
                f"This is not a checkout of StoryCore-Engine: there is no {missing[0]}.",
                hint="Name the folder that holds backend/, src/ and requirements.txt.",
            )

    def regions(self) -> Iterator[tuple[str, Region]]:
        """Yield our regions, each with its path.

        Raises:
            LocalChanges: A file has unpaired marks.
        """
        for path, text in self.texts.items():
            for region in regions_in(path, text):
                yield path, region

    def written(self) -> Lines:
        """Return the lines between our marks, by name of the region."""
        return {
            region.name: self.texts[path][region.span[1] : region.span[2]]
            .replace("\r\n", "\n")
            .split("\n")[:-1]
            for path, region in self.regions()
        }

    def with_put(self, put: Put, name: str) -> Checkout:
        """Return the checkout with our lines inserted into one of its files."""
        text = put_in(self.texts.get(put.path), put, name)
        return replace(self, texts={**self.texts, put.path: text})

    def back_to(self, phase: int) -> Checkout:
        """Return the checkout without our lines of later phases.

        Raises:
            CannotGoBack: Git lacks the replaced contents, or other lines need ours.
            LocalChanges: A file has unpaired marks.
        """
        later = [one for one in self.regions() if one[1].phase > phase]
        if not later:
            return self
        path, region = max(later, key=lambda one: one[1].phase)  # earlier phases created the file
        texts = dict(self.texts)
        old = self.replaced.get(region.replaces or "", None if region.replaces else "")
        if old is None:
            raise CannotGoBack(
                f"git does not have {region.replaces}, the previous content of {path}.",
                hint="In a shallow clone, git fetch --unshallow gets it.",
            )
        text = texts.pop(path)
        rest = take_out(text, region, old)
        if path == self.settings and region.phase == 1:
            _check_rest(path, text, rest or "", text[region.span[3] :])
        return replace(self, texts=texts if rest is None else {**texts, path: rest}).back_to(phase)


def _check_rest(path: str, text: str, rest: str, below: str) -> None:
    """Check that the remaining settings keep their meaning without our lines."""
    said = {key: value for key, value in settings(path, text).items() if key != "tts"}
    with suppress(UnfitFile):
        if settings(path, rest) == said:
            return
    lines = " | ".join(line.strip() for line in below.split("\n") if line.strip())
    raise CannotGoBack(
        f"{path}: the lines below ours are not valid without them: "
        + lines.encode("latin-1").decode(errors="replace"),
        hint="Move it between the marks or remove it, commit that, and run this again.",
    )
