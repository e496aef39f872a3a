"""``storycore-tts voices``: manages stored voices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from storycore_tts.entrypoints.cli import console, failures, inputs, settings
from storycore_tts.entrypoints.cli.commands import consent
from storycore_tts.entrypoints.cli.commands.consent import library
from storycore_tts.entrypoints.cli.consents import ConsentFlags, summary
from storycore_tts.entrypoints.cli.groups import add_command
from storycore_tts.entrypoints.cli.options import RefText, RefTextFile, Reporting, Settings
from storycore_tts.errors import InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.domain.requests import ReferenceAudio
    from storycore_tts.domain.stored_voices import StoredVoice
    from storycore_tts.services.voices import VoiceEntry, VoiceLibrary

app = Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Manage stored voices, for say --speaker: recordings to clone, and checkpoints.",
)

Name = Annotated[str, Argument(metavar="NAME", help="Name of the voice, in any case.")]


def list_(
    *,
    revoked: Annotated[bool, Option("--revoked", help="List the revoked voices instead.")] = False,
    where: Settings,
    reporting: Reporting,
) -> None:
    """List the stored voices.

    Prints a table on a terminal; otherwise one voice per line: name, kind, language, date and
    consent, separated by tabs. Damaged voices are reported on stderr. With --revoked: name, time,
    id of the consent and reason.
    """
    if revoked:
        _list_revoked(library(where), reporting)
        return
    entries = library(where).entries()
    for entry in entries:
        if entry.problem:
            console.tell(f"warning: the voice {entry.name!r} is damaged: {entry.problem}")
    if reporting.as_json:
        console.answer_json([_entry_as_json(entry) for entry in entries])
        return
    if not entries and not reporting.quiet:
        console.tell("No voices are stored yet: storycore-tts voices add NAME --reference FILE")
    rows = [_row(entry) for entry in entries if not entry.problem]
    console.answer_rows(("Voice", "Kind", "Language", "Made", "Consent"), rows)


def add(
    name: Annotated[
        str, Argument(metavar="NAME", help="1 to 64 letters, digits, spaces, dots, _ and -.")
    ],
    *,
    reference: Annotated[
        Path | None,
        Option("--reference", metavar="FILE", help="Recording to clone; 3 to 15 seconds."),
    ] = None,
    ref_text: RefText = None,
    ref_text_file: RefTextFile = None,
    x_vector_only: Annotated[
        bool,
        Option("--x-vector-only", help="Clone the timbre only, without a transcript."),
    ] = False,
    checkpoint: Annotated[
        str | None,
        Option("--checkpoint", metavar="FOLDER", help="Fine-tuned model, as the backend sees it."),
    ] = None,
    speaker: Annotated[
        str | None,
        Option(
            "--speaker",
            "-s",
            metavar="NAME",
            help="Name of the voice in the checkpoint.  [default: NAME]",
        ),
    ] = None,
    model_choice: Annotated[
        str | None,
        Option("--model-choice", metavar="SIZE", help="Model size of the checkpoint, as a note."),
    ] = None,
    language: Annotated[
        str | None,
        Option("--language", "-l", metavar="NAME", help="Default language of lines."),
    ] = None,
    instruct: Annotated[
        str,
        Option("--instruct", metavar="WORDS", help="Default style instruction, for a checkpoint."),
    ] = "",
    given: ConsentFlags,
    where: Settings,
    reporting: Reporting,
) -> None:
    """Store a voice: a recording to clone, or a fine-tuned checkpoint.

    Prints the name of the voice.
    """
    from storycore_tts.domain.stored_voices import StoredVoice

    words = inputs.transcript(ref_text, ref_text_file)
    voice = StoredVoice(
        name,
        reference=_recording(reference, words, x_vector_only=x_vector_only),
        checkpoint=checkpoint,
        speaker=speaker,
        model_choice=model_choice,
        language=language,
        instruct=instruct,
        consent_record=given.record(),
    )
    library(where).add(voice)
    for warning in voice.reference.warnings() if voice.reference else ():
        console.tell(f"warning: {warning}")
    if reporting.as_json:
        console.answer_json(_as_json(voice))
    else:
        console.answer(voice.name)


def show(name: Name, where: Settings, reporting: Reporting) -> None:
    """Show the details of a stored voice.

    Prints a table on a terminal; otherwise one field per line, as name, tab and value.
    """
    facts = _as_json(library(where).get(name))
    if reporting.as_json:
        console.answer_json(facts)
        return
    record = facts.pop("consent_record") or {}
    facts |= {f"consent {what}": fact for what, fact in record.items() if what != "text"}
    rows = [(what, _in_words(fact)) for what, fact in facts.items() if fact not in (None, "", [])]
    console.answer_rows(("What", "Is"), rows)


def remove(
    name: Name,
    *,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    where: Settings,
    reporting: Reporting,
) -> int:
    """Remove a stored voice and its recording.

    Asks for confirmation. The exit status is 130 if the answer is no.
    """
    voices = library(where)
    removed = yes or inputs.agreed(f"Remove the voice {name!r} from {voices.folder}?")
    if removed:
        voices.remove(name)
    if reporting.as_json:
        console.answer_json({"name": name, "removed": removed})
    return 0 if removed else failures.INTERRUPTED


def revoke(
    name: Name,
    *,
    reason: Annotated[str, Option("--reason", metavar="TEXT", help="Why, in words.")] = "",
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    where: Settings,
    reporting: Reporting,
) -> int:
    """Revoke the consent to the use of a stored voice, for good, and delete its recording.

    Jobs of the service in this voice fail. A record without audio and transcript stays, so that the
    recording can be stored again only with a new consent. Sound files are not deleted. Asks for
    confirmation. The exit status is 130 if the answer is no.
    """
    config = settings.load(where).config
    if not yes and not inputs.agreed(f"Revoke the consent to the use of {name!r}, for good?"):
        return failures.INTERRUPTED
    from storycore_tts.service_container import withdraw_jobs

    revocation, recording = library(where).revoke(name, reason=reason)
    jobs = withdraw_jobs(config, revocation, recording)
    if not reporting.quiet:
        console.tell(
            f"Jobs that have failed now: {len(jobs.ended)}. Finished jobs, whose audio is kept: "
            f"{len(jobs.outputs)}."
        )
        if config.ledger.enabled:
            console.tell(f"All files in this voice: {console.PROGRAM} ledger list --voice {name!r}")
    if reporting.as_json:
        console.answer_json({**revocation.to_json(), **asdict(jobs)})
    return 0


for _function in (list_, add, show, remove, revoke):
    add_command(app, _function)
app.add_typer(consent.app, name="consent")


def _list_revoked(voices: VoiceLibrary, reporting: Reporting) -> None:
    found = voices.consents.revocations()
    if reporting.as_json:
        console.answer_json([one.to_json() for one in found])
        return
    rows = [
        (one.voice, f"{one.revoked:%Y-%m-%d %H:%M} UTC", one.consent_id, _in_words(one.reason))
        for one in found
    ]
    console.answer_rows(("Voice", "Revoked", "Consent", "Reason"), rows)


def _in_words(fact: object) -> str:
    said = ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)
    return " ".join(said.split())


def _recording(
    file: Path | None, words: str | None, *, x_vector_only: bool
) -> ReferenceAudio | None:
    from storycore_tts.domain.requests import ReferenceAudio

    if file is None:
        if words is not None or x_vector_only:
            raise InvalidRequest("--ref-text and --x-vector-only go with --reference.")
        return None
    if (words is None) != x_vector_only:
        raise InvalidRequest(
            "A recording needs either its transcript or --x-vector-only.",
            hint="With --ref-text, timbre and manner are cloned; otherwise only the timbre.",
        )
    recording = ReferenceAudio.from_file(file, transcript=words)
    if recording.transcript is None and not x_vector_only:
        raise InvalidRequest("The transcript is empty.", hint="Or use --x-vector-only.")
    return recording


def _row(entry: VoiceEntry) -> tuple[str, ...]:
    made = f"{entry.created:%Y-%m-%d}" if entry.created else ""
    consented = summary(entry.consent)
    return entry.name, str(entry.kind), entry.language or "", made, consented


def _entry_as_json(entry: VoiceEntry) -> dict[str, Any]:
    created = entry.created.isoformat() if entry.created else None
    record = entry.consent and entry.consent.to_json()
    return {**asdict(entry), "created": created, "consent": record}


def _as_json(voice: StoredVoice) -> dict[str, Any]:
    """Return the details of a voice as JSON, without its samples; durations in seconds."""
    recording = voice.reference
    return {
        "name": voice.name,
        "kind": voice.kind,
        "language": voice.language,
        "instruct": voice.instruct,
        "consent": voice.consent,
        "consent_record": voice.consent_record and voice.consent_record.to_json(),
        "created": voice.created.isoformat(),
        "duration": recording and recording.duration,
        "sample_rate": recording and recording.sample_rate,
        "transcript": recording and recording.transcript,
        "x_vector_only": voice.x_vector_only if recording else None,
        "checkpoint": voice.checkpoint,
        "speaker": voice.speaker,
        "model_choice": voice.model_choice,
    }
