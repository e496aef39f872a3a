"""``storycore-tts ledger``: the record of the sound files that were made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, Typer

from storycore_tts.domain.text import speakable
from storycore_tts.entrypoints.cli import console, inputs, settings
from storycore_tts.entrypoints.cli.groups import add_command
from storycore_tts.entrypoints.cli.options import Reporting, Settings
from storycore_tts.errors import ConsentRefused, InvalidRequest, shown

if TYPE_CHECKING:
    from storycore_tts.adapters.ledger import Ledger
    from storycore_tts.settings import QwenTTSConfig

_COLUMNS = ("Time", "Voice", "Backend", "Seconds", "Format", "SHA-256")
_BROKEN = 1
_Test = Callable[[Any], bool]  # whether to list a record

app = Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The record of the sound files that were made, if tts.qwen.ledger.enabled is set.",
)


def verify(
    *,
    head: Annotated[
        str | None,
        Option("--head", metavar="HEAD", help="What ledger head printed at an earlier time."),
    ] = None,
    where: Settings,
    reporting: Reporting,
) -> int:
    """Check that no record was changed, removed, moved or inserted.

    Without --head, a ledger that was rewritten as a whole goes unnoticed. The exit status is 1 if
    something is wrong; the first broken record is named.
    """
    from storycore_tts.adapters.ledger import Head

    ledger = _ledger(settings.load(where).config)
    verdict = ledger.verify(None if head is None else Head.read(head))
    problem = verdict.problem
    if not verdict.records and not problem:
        problem = "there is none yet"
    if reporting.as_json:
        facts = {"records": verdict.records, "head": str(verdict.head), "pruned": verdict.pruned}
        console.answer_json(
            {"path": str(ledger.file), "ok": not problem, **facts, "problem": problem}
        )
    elif problem:
        console.answer(f"{ledger.file}: {problem}")
    else:
        pruned = f", {verdict.pruned} pruned" if verdict.pruned else ""
        console.answer(f"{ledger.file}: {verdict.records} records, none changed{pruned}")
    return _BROKEN if problem else 0


def head(where: Settings, reporting: Reporting) -> None:
    """Print number and hash of the last record.

    Keep them where the ledger's owner cannot change them, and give them to ledger verify --head
    later.
    """
    end = str(_ledger(settings.load(where).config).head())
    if reporting.as_json:
        console.answer_json({"head": end})
    else:
        console.answer(end)


def list_(
    *,
    voice: Annotated[
        str | None,
        Option("--voice", metavar="NAME", help="Only files in this voice, in any case."),
    ] = None,
    since: Annotated[
        str | None,
        Option(
            "--since", metavar="TIME", help="Only later files: 2026-11-30, or with T09:30, UTC."
        ),
    ] = None,
    file: Annotated[
        Path | None, Option("--file", metavar="FILE", help="Only this file, by its hash.")
    ] = None,
    text: Annotated[
        str | None, Option("--text", metavar="TEXT", help="Only files that say exactly this.")
    ] = None,
    where: Settings,
    reporting: Reporting,
) -> None:
    """List the recorded files, oldest first.

    Prints a table on a terminal; otherwise one file per line: time, voice, backend, seconds, format
    and SHA-256, separated by tabs.
    """
    config = settings.load(where).config
    ledger = _ledger(config)
    wanted: list[_Test] = [_is_a_file]
    if since is not None:
        wanted.append(_since(since))
    if voice is not None:
        wanted.append(_in_voice(voice, config))
    if file is not None:
        wanted.append(_has("file", sha256(inputs.bytes_in(file)).hexdigest()))
    if text is not None:
        wanted.append(_has("text", ledger.text_hash(speakable(text))))
    found = [facts for facts in ledger.records() if all(test(facts) for test in wanted)]
    if not (found or config.ledger.enabled or reporting.quiet):
        console.tell("The ledger is off: tts.qwen.ledger.enabled switches it on.")
    if reporting.as_json:
        console.answer_json(found)
        return
    rows = [_row(facts) for facts in found]
    if console.stdout_is_terminal():  # which is too narrow for the whole hash
        rows = [(*row[:-1], f"{row[-1][:16]}…") for row in rows]
    console.answer_rows(_COLUMNS, rows)


for _function in (verify, head, list_):
    add_command(app, _function)


def _ledger(config: QwenTTSConfig) -> Ledger:
    # Created without the container, whose import would make the command slow.
    from storycore_tts.adapters.ledger import Ledger
    from storycore_tts.services.files import ledger_file

    return Ledger(ledger_file(config.ledger.path))


def _is_a_file(facts: Any) -> bool:
    return bool(facts.get("kind") == "file")


def _has(name: str, value: str) -> _Test:
    return lambda facts: facts.get(name) == value


def _since(text: str) -> _Test:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"--since takes a date or a time, not {shown(text)}.",
            hint="Such as 2026-11-30 or 2026-11-30T09:30; it is UTC unless it has an offset.",
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return lambda facts: datetime.fromisoformat(facts["time"]) >= moment


def _in_voice(name: str, config: QwenTTSConfig) -> _Test:
    """Compare names, and recordings with that of the stored voice, revoked or not."""
    from storycore_tts.domain.stored_voices import name_key
    from storycore_tts.services.voices import VoiceLibrary

    key, library = name_key(name), VoiceLibrary(config.voices_dir)
    try:
        stored = library.find(name)
        recordings = {stored.reference_sha256} if stored else set()
    except ConsentRefused:  # it was revoked
        recordings = {one.reference_sha256 for one in library.consents.revocations(name)}
    return lambda facts: any(
        name_key(str(facts.get(f"{of}voice", ""))) == key
        or facts.get(f"{of}reference") in recordings
        for of in ("", "notice_")
    )


def _row(facts: Any) -> tuple[str, ...]:
    voice = facts.get("voice") or f"clone of {str(facts.get('reference'))[:16]}"
    known = (facts.get(name, "") for name in ("backend", "seconds", "format", "file"))
    return (facts["time"], voice, *map(str, known))
