"""What each phase consists of: how to see that a step is done, and the edit that does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storycore_tts.__about__ import __version__
from storycore_tts.services.migration import yaml_source
from storycore_tts.services.migration.checkout import AI_SERVICE, MAIN_API, REQUIREMENTS, Checkout
from storycore_tts.services.migration.errors import AnchorNotFound
from storycore_tts.services.migration.modules import MODULES, ThinModule
from storycore_tts.services.migration.python_source import (
    before_include,
    behind_attribute,
    behind_preamble,
    check_result,
    import_line,
    parsed,
    public_names,
)
from storycore_tts.services.migration.regions import Put, line_at, put_in

PHASES = (
    "nothing yet",
    "alongside",
    "feature flag and rollout",
    "old modules hand on to the package",
    "direct is deprecated",
)
"""What each phase is called; the index is its number."""

LAST = len(PHASES) - 1
_OURS = "storycore_tts"
_REQUIREMENT = f"storycore-tts[direct,server]>={__version__}"
_REQUIRED = re.compile(
    r"^[ \t]*(?:-e[ \t]+\S*)?storycore[-_.]+tts(?=[ \t\r]*(?:[\[<>=!~@;#]|$)).*",
    re.IGNORECASE | re.MULTILINE,
)
_SETTINGS = (
    "backend: comfyui                     # comfyui or direct",
    "comfyui_url: http://127.0.0.1:8188   # ComfyUI Desktop listens on port 8000",
    "model_choice: 1.7B",
    "default_speaker: Ryan",
)
_ROLLOUT = "0 to 1: the share of requests that go to ComfyUI, the rest to direct"
_WARN = "the old classes warn whoever uses them"


@dataclass(frozen=True)
class Finding:
    """What a look at a file has shown.

    Args:
        done: Whether the step is done there.
        path: The file.
        line: The line that shows it; None where there is none to show.
        says: What is there, in words.
    """

    done: bool
    path: str
    line: int | None
    says: str


@dataclass(frozen=True)
class Step:
    """One edit of a phase.

    Args:
        phase: The phase that it belongs to.
        name: What the marks around its lines call it.
        look: Tells whether it is done.
        edit: Does it, where it is not.
        counts: Whether the phase is reached only with it.
    """

    phase: int
    name: str
    look: Callable[[Checkout], Finding]
    edit: Callable[[Checkout], Put]
    counts: bool = True

    def taken(self, checkout: Checkout) -> Checkout:
        """Return the checkout with this step done."""
        if self.look(checkout).done:
            return checkout
        return checkout.with_put(self.edit(checkout), phase=self.phase, name=self.name)


def _look_requirement(checkout: Checkout) -> Finding:
    text = checkout.texts[REQUIREMENTS]
    found = _REQUIRED.search(text)
    if found is None:
        return Finding(False, REQUIREMENTS, None, "storycore-tts is not required")
    line = found.group().strip()
    return Finding(True, REQUIREMENTS, line_at(text, found.start()), line)


def _edit_requirement(checkout: Checkout) -> Put:
    text = checkout.texts[REQUIREMENTS]
    if text.rstrip("\r\n").endswith("\\"):
        raise AnchorNotFound(f"{REQUIREMENTS}: its last line goes on, so none can be added.")
    return Put(REQUIREMENTS, len(text), len(text), [_REQUIREMENT])


def _settings_text(checkout: Checkout) -> str:
    return checkout.texts.get(checkout.settings, "")


def _look_settings(checkout: Checkout) -> Finding:
    path = checkout.settings
    found = yaml_source.setting(path, _settings_text(checkout))
    if found is None:
        return Finding(False, path, None, "there is no tts.qwen")
    return Finding(True, path, found.line, "tts.qwen is there")


def _edit_settings(checkout: Checkout) -> Put:
    return yaml_source.block_put(checkout.settings, _settings_text(checkout), _SETTINGS)


def _look_import(path: str, name: str, done: str, undone: str) -> Callable[[Checkout], Finding]:
    def look(checkout: Checkout) -> Finding:
        line = import_line(parsed(path, checkout.texts[path]), _OURS, name)
        return Finding(line is not None, path, line, undone if line is None else done)

    return look


def _edit_service(checkout: Checkout) -> Put:
    text = checkout.texts[AI_SERVICE]
    place = behind_attribute(
        AI_SERVICE, text, owner="AIVideoEditorService", attribute="tts", needs="config"
    )
    step = "\t" if "\t" in place.indent else "    "
    lines = [
        'if self.config.tts_model == "qwen":',
        f"{step}from {_OURS} import install",
        "",
        f"{step}install(self)",
    ]
    put = Put(AI_SERVICE, place.offset, place.offset, lines, place.indent)
    return _compiling(text, put)


def _edit_router(checkout: Checkout) -> Put:
    text = checkout.texts[MAIN_API]
    # Before the engine's own: of two routes with the same path, the first one answers.
    app, place = before_include(MAIN_API, text, "VIDEO_EDITOR_ROUTER")
    lines = [
        f"from {_OURS} import create_editor_router",
        "",
        f"{app}.include_router(create_editor_router())",
    ]
    put = Put(MAIN_API, place.offset, place.offset, lines, place.indent)
    return _compiling(text, put)


def _compiling(text: str, put: Put) -> Put:
    check_result(put.path, put_in(text, put, phase=0, name="check")[0])
    return put


def _thin(module: ThinModule) -> Step:
    def look(checkout: Checkout) -> Finding:
        text = checkout.texts.get(module.path)
        if text is None:
            return Finding(True, module.path, None, "there is no such module, and none is needed")
        line = import_line(parsed(module.path, text), _OURS)
        says = "still the old code" if line is None else "hands on to storycore-tts"
        return Finding(line is not None, module.path, line, says)

    def edit(checkout: Checkout) -> Put:
        text = checkout.texts[module.path]
        return Put(module.path, behind_preamble(text), len(text), module.lines())

    return Step(3, module.name, look, edit)


def _value(
    phase: int, key: str, value: str, right: Callable[[object], bool], *, default: object = None,
    note: str = "", counts: bool = True,
) -> Step:  # fmt: skip
    def look(checkout: Checkout) -> Finding:
        path = checkout.settings
        found = yaml_source.setting(path, _settings_text(checkout), key)
        if found is None:
            return Finding(right(default), path, None, f"tts.qwen.{key} is not set")
        return Finding(right(found.value), path, found.line, f"tts.qwen.{key}: {found.value}")

    def edit(checkout: Checkout) -> Put:
        return yaml_source.value_put(
            checkout.settings, _settings_text(checkout), key, value, note=note
        )

    return Step(phase, f"phase-{phase}-{key.replace('_', '-')}", look, edit, counts)


STEPS = (
    Step(1, "phase-1-requirement", _look_requirement, _edit_requirement),
    Step(1, "phase-1-settings", _look_settings, _edit_settings),
    Step(
        2,
        "phase-2-service",
        _look_import(AI_SERVICE, "install", "installs our service", "does not install our service"),
        _edit_service,
    ),
    Step(
        2,
        "phase-2-router",
        _look_import(
            MAIN_API, "create_editor_router", "includes our router", "has no router of ours"
        ),
        _edit_router,
    ),
    _value(2, "rollout", "0.0", lambda value: value is not None, note=_ROLLOUT, counts=False),
    *map(_thin, MODULES),
    _value(4, "backend", "comfyui", lambda value: value == "comfyui", default="comfyui"),
    _value(4, "rollout", "null", lambda value: value is None),
    _value(4, "deprecate_legacy", "true", lambda value: value is True, note=_WARN),
)
"""Every step, in the order in which they are taken."""


def steps_of(phase: int) -> Iterator[Step]:
    """Return the steps of a phase."""
    return (step for step in STEPS if step.phase == phase)


def names_lost(before: Checkout, after: Checkout) -> Iterator[str]:
    """Say which names of old modules nobody can import any more."""
    for module in MODULES:
        old, new = before.texts.get(module.path), after.texts.get(module.path)
        if old is None or new is None or old == new:
            continue
        lost = public_names(parsed(module.path, old)) - public_names(parsed(module.path, new))
        if lost:
            yield f"{module.path} no longer has {', '.join(sorted(lost))}."
