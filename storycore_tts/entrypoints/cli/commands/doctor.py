"""``storycore-tts doctor``."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from storycore_tts.__about__ import __version__
from storycore_tts.domain.errors import TTSError
from storycore_tts.entrypoints.cli import console, failures, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import Backend, Reporting

if TYPE_CHECKING:
    from storycore_tts.ports import BackendStatus
    from storycore_tts.settings import LoadedConfig, QwenTTSConfig

_WELL_KNOWN = ("comfyui", "direct", "draft")
_LOOK_AT_ITS_LOG = "Look at the backend's own log."


@dataclass(frozen=True)
class _Setting:
    """A setting in force; its value is masked if it is a secret."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True)
class _Finding:
    """A backend, as the doctor found it; status is None if it is not installed."""

    name: str
    status: BackendStatus | None

    @property
    def usable(self) -> bool:
        """Whether it can be asked to speak."""
        return self.status is not None and self.status.reachable

    @property
    def state(self) -> str:
        """One word or two for people."""
        if self.status is None:
            return "not installed"
        return "ready" if self.status.reachable else "not usable"


def doctor(backend: Backend, reporting: Reporting) -> int:
    """Say which settings are in force, which backends work, and what to do about the others.

    Exit status 0 when the configured backend can be used, 3 when it cannot.
    """
    from storycore_tts.settings import rollout_notice

    loaded = settings.load(backend)
    shown = list(_settings(loaded))
    findings = run_async(_examine(loaded.config))
    usable = any(f.usable for f in findings if f.name == loaded.config.backend)
    notice = rollout_notice(loaded.config)
    if reporting.as_json:
        answer = _as_json(loaded.config.backend, usable, shown, findings)
        console.answer_json({**answer, "notice": notice})
    else:
        _print_tables(loaded.config.backend, shown, findings)
        if notice:
            console.answer(notice)
    return 0 if usable else failures.UNAVAILABLE


def _settings(loaded: LoadedConfig) -> Iterator[_Setting]:
    for key, value in _leaves(loaded.config.model_dump()):
        yield _Setting(key, settings.masked(key, value), loaded.sources.get(key, "default"))


def _leaves(block: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in block.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


async def _examine(config: QwenTTSConfig) -> list[_Finding]:
    import asyncio

    from storycore_tts.settings import adapter_names

    installed = adapter_names()
    statuses = await asyncio.gather(*(_status(name, config) for name in installed))
    found = dict(zip(installed, statuses, strict=True))
    return [_Finding(name, found.get(name)) for name in sorted({*installed, *_WELL_KNOWN})]


async def _status(name: str, config: QwenTTSConfig) -> BackendStatus:
    """Ask an adapter how it is; one that cannot even be made has a problem, like any other."""
    from storycore_tts.container import make_adapter
    from storycore_tts.ports import BackendStatus, Problem

    try:
        adapter = make_adapter(name, config)
    except TTSError as error:
        problem = Problem(error.message, error.hint or _LOOK_AT_ITS_LOG)
        return BackendStatus(name, reachable=False, problems=(problem,))
    try:
        return await adapter.status()
    finally:
        await adapter.aclose()


def _as_json(
    configured: str, usable: bool, shown: list[_Setting], findings: list[_Finding]
) -> dict[str, Any]:
    return {
        "storycore_tts": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "backend": configured,
        "usable": usable,
        "settings": {s.key: {"value": s.value, "source": s.source} for s in shown},
        "backends": {
            f.name: {
                "installed": f.status is not None,
                **({} if f.status is None else _status_as_json(f.status)),
            }
            for f in findings
        },
    }


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


def _print_tables(configured: str, shown: list[_Setting], findings: list[_Finding]) -> None:
    console.answer(
        f"storycore-tts {__version__}, Python {platform.python_version()}, "
        f"{platform.platform(terse=True)}"
    )
    console.answer_table(
        ("Setting", "Value", "From"),
        [(s.key, "" if s.value is None else str(s.value), s.source) for s in shown],
        title="Settings in force (tts.qwen)",
    )
    rows = [row for finding in findings for row in _rows(finding, configured)]
    console.answer_table(("Backend", "What", "Finding"), rows, title="Backends")
    for finding in findings:
        for problem in finding.status.problems if finding.status else ():
            console.answer(f"{finding.name}: {problem.message}")
            console.answer(f"  advice: {problem.advice}")


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
