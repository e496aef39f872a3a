"""The steps of each phase: how to detect that a step is done, and the edit that performs it."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from storycore_tts.services.migration.checkout import (
    AI_SERVICE,
    AUTH,
    MAIN_API,
    REQUIREMENTS,
    Checkout,
)
from storycore_tts.services.migration.errors import AnchorNotFound, MigrationRefused, UnfitFile
from storycore_tts.services.migration.modules import MODULES, lines_of
from storycore_tts.services.migration.reading import (
    MISSING,
    import_line,
    parsed,
    public_names,
    setting,
    settings,
)
from storycore_tts.services.migration.regions import Put, line_at

PHASES = (
    "nothing yet",
    "alongside",
    "feature flag",
    "old modules hand on to the package",
    "direct is deprecated",
)
"""Names of the phases; the index is the number of the phase."""

LAST = len(PHASES) - 1
REQUIREMENT_STEP, SETTINGS_STEP = "phase-1-requirement", "phase-1-settings"
"""The steps with customisable lines."""

USUAL_SETTINGS = (
    "tts:",
    "  qwen:",
    "    backend: comfyui                     # comfyui, direct or draft",
    "    fallback: draft                      # speaks while ComfyUI is away",
    "    comfyui_url: http://127.0.0.1:8188   # ComfyUI Desktop listens on port 8000",
    "    model_choice: 1.7B",
    "    default_speaker: Ryan",
    "    cast: data/cast.yaml",
)

_OURS = "storycore_tts"
_SIGNED = "# storycore-tts migrate wrote "
_REQUIRED = re.compile(
    r"^[ \t]*(?:-e[ \t]+\S*)?storycore[-_.]+tts(?=[ \t\r]*(?:[\[<>=!~@;#]|$)).*",
    re.IGNORECASE | re.MULTILINE,
)
_INCLUDE = re.compile(r"^([ \t]*)(\w+)\.include_router\(\s*VIDEO_EDITOR_ROUTER\b", re.MULTILINE)
_SERVICE = '''
class TTSService(TTSService):  # noqa: F811
    """The engine's own service, or that of storycore-tts where tts_model is "qwen"."""

    def __new__(cls, config=None):
        chosen = config or ai_config
        if chosen.tts_model != "qwen":
            return super().__new__(cls)
        from storycore_tts import create_tts_service

        return create_tts_service(chosen)
'''.strip().splitlines()
_BY_HAND = "Put it there by hand, as documentation/MIGRATION.md shows, and run this again."


@dataclass(frozen=True)
class Finding:
    """Whether a step is done, with the file, the line if known, and a description."""

    done: bool
    path: str
    line: int | None
    says: str


@dataclass(frozen=True)
class Step:
    """One edit of a phase: ``look`` finds out whether it is done, and ``edit`` performs it."""

    phase: int
    name: str
    look: Callable[[Checkout], Finding]
    edit: Callable[[Checkout], Put]

    def taken(self, checkout: Checkout) -> Checkout:
        """Return the checkout with this step done.

        Raises:
            MigrationRefused: The edit is not possible, or would have no effect.
        """
        finding = self.look(checkout)
        if finding.done:
            return checkout
        edited = checkout.with_put(self.edit(checkout), self.name)
        try:
            finding = self.look(edited)
        except UnfitFile:
            finding = Finding(False, finding.path, None, finding.says)
        if not finding.done:
            raise AnchorNotFound(
                f"{finding.path} has no place for the lines of {self.name}.", hint=_BY_HAND
            )
        return edited


def required(text: str) -> re.Match[str] | None:
    """Return the match of this package in a requirements file, or None."""
    return _REQUIRED.search(text)


def chosen(checkout: Checkout, name: str) -> Sequence[str]:
    """Return the lines of a step, after a checksum line that reveals later edits."""
    in_data = checkout.settings.startswith("data/")  # a volume of the container
    lines = [line for line in checkout.lines[name] if in_data or line != USUAL_SETTINGS[-1]]
    return lines if _SIGNED in "".join(lines[:1]) else [_signature(lines), *lines]


def edited(lines: Sequence[str]) -> bool:
    """Return whether our lines differ from their checksum."""
    return _SIGNED in "".join(lines[:1]) and lines[0] != _signature(lines[1:])


def _signature(lines: Sequence[str]) -> str:
    return f"{_SIGNED}{zlib.crc32(chr(10).join(lines).encode('latin-1')):08x}"


def has_tokens(checkout: Checkout) -> bool:
    """Return whether the engine has a dependency that requires a token."""
    text = checkout.texts.get(AUTH)
    return text is not None and "verify_jwt_token" in public_names(parsed(AUTH, text))


def _look_requirement(checkout: Checkout) -> Finding:
    text = checkout.texts[REQUIREMENTS]
    found = required(text)
    if found is None:
        return Finding(False, REQUIREMENTS, None, "storycore-tts is not required")
    return Finding(True, REQUIREMENTS, line_at(text, found.start()), found.group().strip())


def _edit_requirement(checkout: Checkout) -> Put:
    if checkout.texts[REQUIREMENTS].rstrip("\r\n").endswith("\\"):
        raise AnchorNotFound(f"{REQUIREMENTS}: its last line is continued, so none can be added.")
    return Put(REQUIREMENTS, chosen(checkout, REQUIREMENT_STEP))


def _look_setting(checkout: Checkout, *keys: str) -> tuple[Any, int | None]:
    """Return the value of a setting, and a line that contains its key."""
    text = checkout.texts.get(checkout.settings, "")
    value = setting(checkout.settings, text, *keys)
    at = text.find(f"{keys[-1] if keys else 'qwen'}:")
    return value, None if value is MISSING else line_at(text, max(at, 0))


def _look_settings(checkout: Checkout) -> Finding:
    value, line = _look_setting(checkout)
    says = "there is no tts.qwen" if value is MISSING else "tts.qwen is there"
    return Finding(value is not MISSING, checkout.settings, line, says)


def _edit_settings(checkout: Checkout) -> Put:
    path = checkout.settings
    if "tts" in settings(path, checkout.texts.get(path, "")):
        raise AnchorNotFound(f"{path} has other settings below tts.", hint=_BY_HAND)
    return Put(path, chosen(checkout, SETTINGS_STEP))


def _look_import(path: str, done: str, undone: str) -> Callable[[Checkout], Finding]:
    def look(checkout: Checkout) -> Finding:
        text = checkout.texts.get(path)
        if text is None:
            return Finding(True, path, None, "there is no such module, and none is needed")
        line = import_line(parsed(path, text), _OURS)
        return Finding(line is not None, path, line, undone if line is None else done)

    return look


def _edit_service(checkout: Checkout) -> Put:
    text = checkout.texts[AI_SERVICE]
    for name in (r"class TTSService\b", r"ai_config\b"):
        if not re.search(rf"^{name}", text, re.MULTILINE):
            raise AnchorNotFound(f"{AI_SERVICE} has no TTSService and ai_config.", hint=_BY_HAND)
    return Put(AI_SERVICE, ["", "", *_SERVICE])


def _edit_router(checkout: Checkout) -> Put:
    found = _INCLUDE.search(checkout.texts[MAIN_API])
    if found is None:
        raise AnchorNotFound(f"{MAIN_API} includes no VIDEO_EDITOR_ROUTER.", hint=_BY_HAND)
    tokens = has_tokens(checkout)
    asked = "dependencies=[Depends(verify_jwt_token)]" if tokens else ""
    lines = ["from fastapi import Depends", "", "from backend.auth import verify_jwt_token"]
    lines = [*(lines if tokens else ()), f"from {_OURS} import create_editor_router", ""]
    lines.append(f"{found[2]}.include_router(create_editor_router({asked}))")
    # Before the engine's own: of two routes with the same path, FastAPI uses the first.
    return Put(MAIN_API, lines, found.start(), found[1])


def _thin(path: str) -> Step:
    def edit(checkout: Checkout) -> Put:
        return Put(path, [*lines_of(path)], replaces=checkout.ids[path])

    look = _look_import(path, "hands on to storycore-tts", "still the old code")
    return Step(3, MODULES[path][0], look, edit)


def _value(key: str, value: object, *, usual: object, note: str = "") -> Step:
    def look(checkout: Checkout) -> Finding:
        found, line = _look_setting(checkout, key)
        done = (usual if found is MISSING else found) == value
        says = "is not set" if found is MISSING else f"is {json.dumps(found, default=str)}"
        return Finding(done, checkout.settings, line, f"tts.qwen.{key} {says}")

    def edit(checkout: Checkout) -> Put:
        finding, wanted = look(checkout), json.dumps(value)
        if finding.line is not None:
            raise MigrationRefused(
                f"{finding.path}, line {finding.line}: {finding.says}; phase 4 needs {wanted}.",
                hint="Change this setting yourself, then run the command again.",
            )
        return Put(checkout.settings, [f"{key}: {wanted}  # {note}"], indent="    ")

    return Step(4, f"phase-4-{key.replace('_', '-')}", look, edit)


STEPS = (
    Step(1, REQUIREMENT_STEP, _look_requirement, _edit_requirement),
    Step(1, SETTINGS_STEP, _look_settings, _edit_settings),
    Step(
        2,
        "phase-2-service",
        _look_import(AI_SERVICE, "makes our service", "makes no service of ours"),
        _edit_service,
    ),
    Step(
        2,
        "phase-2-router",
        _look_import(MAIN_API, "includes our router", "has no router of ours"),
        _edit_router,
    ),
    *map(_thin, MODULES),
    _value("backend", "comfyui", usual="comfyui"),
    _value("rollout", None, usual=None),
    _value("deprecate_legacy", True, usual=False, note="the old classes warn their users"),
)
"""All steps, in order."""


def names_lost(before: Checkout, after: Checkout) -> Iterator[str]:
    """Yield a warning for each old module with names that can no longer be imported."""
    for path in MODULES:
        old, new = before.texts.get(path, ""), after.texts.get(path, "")
        lost = public_names(parsed(path, old)) - public_names(parsed(path, new))
        if lost:
            yield f"{path} no longer has {', '.join(sorted(lost))}."
