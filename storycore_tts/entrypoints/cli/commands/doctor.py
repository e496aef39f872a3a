"""``storycore-tts doctor``."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from storycore_tts.__about__ import __version__
from storycore_tts.entrypoints.cli import backends, console, failures, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import BackendFlags, Reporting
from storycore_tts.errors import ConfigurationError

if TYPE_CHECKING:
    from storycore_tts.ports import BackendStatus
    from storycore_tts.settings import LoadedConfig, Origin, QwenTTSConfig


@dataclass(frozen=True)
class _Setting:
    """A setting in force; its value is masked if it is a secret."""

    key: str
    value: Any
    origin: Origin


@dataclass(frozen=True)
class _Finding:
    """A backend and its status, which is None if it is not installed."""

    name: str
    status: BackendStatus | None

    @property
    def usable(self) -> bool:
        """Whether the backend can generate speech."""
        return self.status is not None and self.status.reachable

    @property
    def state(self) -> str:
        """Short description of the state, for display."""
        if self.status is None:
            return "not installed"
        return "ready" if self.status.reachable else "not usable"


def doctor(
    backend: BackendFlags,
    *,
    show_settings: Annotated[
        bool, Option("--settings", help="Also list the settings in force and their sources.")
    ] = False,
    reporting: Reporting,
) -> int:
    """Check which backends work, and how to fix the others.

    The first line is the result; --json includes the settings.

    The exit status is 0 if the configured backend can be used, and 3 if it cannot, or if the
    settings of marking keep everything from starting.
    """
    from storycore_tts.container import signing_state
    from storycore_tts.settings import rollout_notice

    loaded = settings.load(backend)
    shown = list(_settings(loaded))
    findings = run_async(_examine(loaded.config))
    refused = _refused(loaded.config)
    usable = any(f.usable for f in findings if f.name == loaded.config.backend) and not refused
    notices = (refused, rollout_notice(loaded.config), loaded.config.marking.notice)
    notice = " ".join(filter(None, notices)) or None
    signing = signing_state(loaded.config)
    if reporting.as_json:
        answer = _as_json(loaded.config.backend, usable, shown, findings)
        told = {"signing": asdict(signing), "watermark": _watermark(loaded.config)}
        console.answer_json({**answer, "notice": notice, **told})
    else:
        _print(loaded.config.backend, findings, usable)
        if notice:
            console.answer(notice)
        console.answer(
            f"Sound files are {'' if signing.signs else 'not '}signed: {signing.sentence}."
        )
        console.answer(f"Watermark: {_watermark(loaded.config)}")
        _print_tables(loaded.config.backend, findings, shown if show_settings else [])
    return 0 if usable else failures.UNAVAILABLE


def _refused(config: QwenTTSConfig) -> str | None:
    """Return why nothing starts with these settings of marking; None if it does."""
    from storycore_tts.container import marking_for

    try:
        marking_for(config)
    except ConfigurationError as error:
        return str(error)
    return None


def _watermark(config: QwenTTSConfig) -> str:
    """Return which files get a watermark, and what is missing for it."""
    from storycore_tts.adapters import perth

    if config.marking.off_because is not None or config.marking.watermark == "off":
        return "off."
    if (reason := perth.missing()) is not None:
        return f"none, because {reason}. {perth.HINT}"
    all_files = config.marking.watermark == "always"
    which = "all files" if all_files else "streams, and files that cannot be signed"
    return f"{perth.NAME}, in {which}."


def _settings(loaded: LoadedConfig) -> Iterator[_Setting]:
    blocks = {**dict(loaded.config), **_blocks(loaded.config)}
    for key, value in _leaves(blocks):
        yield _Setting(key, value, loaded.origin(key))


def _blocks(config: QwenTTSConfig) -> dict[str, Any]:
    """Return the settings of each adapter, including defaults."""
    from storycore_tts.settings import AdapterSettings, adapter_names

    blocks = {name: block for name, block in config if isinstance(block, AdapterSettings)}
    for name in adapter_names():
        with suppress(
            ConfigurationError
        ):  # required settings are missing, which its status reports
            blocks.setdefault(name, config.block(name, AdapterSettings))
    return blocks


def _leaves(block: Any, above: str = "", *, secret: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the settings in a block, with the values of secrets masked."""
    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    fields = type(block).model_fields if isinstance(block, BaseModel) else {}
    for name, value in dict(block).items():
        hidden = secret or (name in fields and not fields[name].repr)
        if value and isinstance(value, dict | BaseModel):
            yield from _leaves(value, f"{above}{name}.", secret=hidden)
        else:
            shown = settings.MASK if hidden and value else to_jsonable_python(value)
            yield f"{above}{name}", shown


async def _examine(config: QwenTTSConfig) -> list[_Finding]:
    import asyncio

    from storycore_tts.settings import adapter_names

    installed = adapter_names()
    statuses = await asyncio.gather(*(backends.status_of(name, config) for name in installed))
    found = dict(zip(installed, statuses, strict=True))
    return [_Finding(name, found.get(name)) for name in sorted({*installed, *_blocks(config)})]


def _as_json(
    configured: str, usable: bool, shown: list[_Setting], findings: list[_Finding]
) -> dict[str, Any]:
    return {
        "storycore_tts": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "backend": configured,
        "usable": usable,
        "settings": {s.key: _setting_as_json(s) for s in shown},
        "backends": {
            f.name: {
                "installed": f.status is not None,
                **({} if f.status is None else _status_as_json(f.status)),
            }
            for f in findings
        },
    }


def _setting_as_json(setting: _Setting) -> dict[str, Any]:
    line = {} if setting.origin.line is None else {"line": setting.origin.line}
    return {"value": setting.value, "source": setting.origin.source, **line}


def _status_as_json(status: BackendStatus) -> dict[str, Any]:
    return {
        "reachable": status.reachable,
        "version": status.version,
        "device": status.device,
        "models": list(status.models),
        "queue_length": status.queue_length,
        "details": dict(status.details),
        "problems": [asdict(problem) for problem in status.problems],
    }


def _print(configured: str, findings: list[_Finding], usable: bool) -> None:
    """Print whether the configured backend works, and advice for problems."""
    ready = [finding.name for finding in findings if finding.usable]
    if usable:
        console.answer(f"All is well: {configured} is ready.")
    elif configured in ready:
        console.answer(f"{configured} is ready, but nothing starts with these settings.")
    else:
        others = f" Ready: {', '.join(ready)} (--backend NAME)." if ready else ""
        console.answer(f"The configured backend {configured} cannot be used.{others}")
    for finding in sorted(findings, key=lambda finding: finding.name != configured):
        for problem in finding.status.problems if finding.status else ():
            console.answer(f"{finding.name}: {problem.message}")
            console.answer(f"  advice: {problem.advice}")


def _print_tables(configured: str, findings: list[_Finding], shown: list[_Setting]) -> None:
    rows = [row for finding in findings for row in _rows(finding, configured)]
    console.answer_table(("Backend", "What", "Finding"), rows, title="Backends")
    if shown:
        console.answer_table(
            ("Setting", "Value", "From"),
            [(s.key, _shown(s.value), str(s.origin)) for s in shown],
            title="Settings in force (tts.qwen)",
        )
    console.answer(
        f"storycore-tts {__version__}, Python {platform.python_version()}, "
        f"{platform.platform(terse=True)}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _rows(finding: _Finding, configured: str) -> Iterator[tuple[str, str, str]]:
    mark = " (configured)" if finding.name == configured else ""
    yield f"{finding.name}{mark}", "state", finding.state
    status = finding.status
    if status is None:
        return
    facts = {
        "version": status.version,
        "device": status.device,
        "models": ", ".join(status.models),
        "jobs": "" if status.queue_length is None else str(status.queue_length),
        **status.details,
    }
    for what, found in facts.items():
        if found:
            yield "", what, found
