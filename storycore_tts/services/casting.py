"""The cast of a project: the voices of its characters.

Users assign voices in ``cast.yaml``. A character without an entry is given a suitable voice, which
is stored in ``cast.assigned.yaml`` so that all processes and later runs use the same one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from storycore_tts.concurrency.shared_files import locked
from storycore_tts.domain.cast_file import read_cast, written
from storycore_tts.domain.casting import Cast, CastVoice, Character, Role, fitting
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.stored_voices import name_key
from storycore_tts.domain.voices import Speaker
from storycore_tts.errors import ConfigurationError, StorageFailed, UnknownSpeaker
from storycore_tts.services.files import replace_text

_log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # s
_HEAD = """\
# Voices that storycore-tts gave to characters without an entry in the cast. Keep this file, and
# they keep their voices; to change one, move its entry to the cast.
"""

ReadSheets = Callable[[Path], Sequence[Character]]
"""Reads the character sheets from a project's folder."""


@dataclass(frozen=True)
class Part:
    """A character with a voice.

    Args:
        character: The character.
        voice: Its voice.
        is_cast: Whether the cast assigns the voice; otherwise it was chosen automatically.
        problem: Why the choice could not be stored; "" if there is no problem.
    """

    character: Character
    voice: CastVoice
    is_cast: bool
    problem: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user about a voice that was chosen automatically."""
        if self.is_cast:
            return ()
        note = f"{self.character.called} is not cast; {self.voice.voice} speaks"
        return (f"{note}. {self.problem}" if self.problem else note,)


class Casting:
    """The cast of a project, and the voices assigned to other characters. Methods block.

    A changed file is read again after at most one second. Several processes may use the same folder
    at the same time.

    Args:
        file: The cast file, in the project's folder; it may be missing.
        sheets: Reads the project's character sheets.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        file: Path,
        *,
        sheets: ReadSheets = lambda _: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file = file.absolute()
        self._read_sheets = sheets
        self._clock = clock
        self._mutex = threading.RLock()
        self._looked: float | None = None
        self._cast = _Read(self.file)
        self._assigned = _Read(self.file.with_name(f"{self.file.stem}.assigned.yaml"))
        self._sheets: Sequence[Character] | None = None
        self._unwritten: tuple[Role, ...] = ()  # while the folder is read-only

    @property
    def cast(self) -> Cast:
        """The contents of the cast file.

        Raises:
            ConfigurationError: The file is invalid.
        """
        with self._mutex:
            self._look()
            return self._cast.cast

    def characters(self) -> Sequence[Character]:
        """Return the characters from the project's sheets."""
        with self._mutex:
            self._look()
            if self._sheets is None:
                self._sheets = self._read_sheets(self.file.parent)
            return self._sheets

    def find(self, character: Character) -> Part | None:
        """Return the part of a character that already has a voice, or None.

        Args:
            character: The character, found by id or name.

        Raises:
            ConfigurationError: One of the two files is invalid; the message names the line.
        """
        with self._mutex:
            self._look()
            return self._found(self._known(character), character.id)

    def knows(self, name: str) -> bool:
        """Return whether a name or id belongs to a character in either file or on a sheet.

        Args:
            name: A name or id.

        Raises:
            ConfigurationError: One of the two files is invalid.
        """
        known = self.find(Character(name)) is not None
        return known or self._sheet_of(Character(name)) is not None

    def everybody(self) -> list[Character]:
        """Return all known characters: from the cast, the assigned voices and the sheets.

        Raises:
            ConfigurationError: One of the two files is invalid.
        """
        with self._mutex:
            self._look()
            found: list[Character] = []
            listed: set[str] = set()
            by_name = [(role, (*role.aliases, role.name)) for role in self._cast.cast.roles]
            by_id = [(role, (role.name, *role.aliases)) for role in self._in_mind.roles]
            for role, (first, *others) in (*by_name, *by_id):
                names = (role.name, *role.aliases)
                sheets = (self._sheet_of(Character(name)) for name in names)
                known = next(filter(None, sheets), Character(first, "".join(others[-1:])))
                keys = {name_key(name) for name in (known.id, *names)}
                if not keys & listed:
                    found.append(known)
                listed |= keys
            return [*found, *(one for one in self.characters() if name_key(one.id) not in listed)]

    def assign(
        self, character: Character, speakers: Sequence[Speaker], *, near: Collection[str] = ()
    ) -> Part:
        """Return the part of a character, choosing and storing a suitable voice if it has none.

        Args:
            character: The character; missing details are taken from its sheet.
            speakers: The voices of the backend.
            near: Voices of other characters in the same scene, to be avoided.

        Raises:
            ConfigurationError: One of the two files is invalid.
            UnknownSpeaker: The backend offers no voices.
        """
        _check(speakers)
        with self._mutex:
            self._look()
            known = self._known(character)
            try:
                with self._locked():
                    return self._assigned_now(known, character.id, speakers, near)
            except OSError as error:
                why = error.strerror or type(error).__name__
                return self._kept_in_mind(known, character.id, speakers, near, why)

    def proposed(self, people: Iterable[Character], speakers: Sequence[Speaker]) -> list[Part]:
        """Return the parts that ``assign`` would choose, without storing them.

        Args:
            people: The characters.
            speakers: The voices of the backend.

        Raises:
            ConfigurationError: One of the two files is invalid.
            UnknownSpeaker: The backend offers no voices.
        """
        _check(speakers)
        with self._mutex:
            self._look()
            before, parts = self._unwritten, []
            try:
                for character in people:
                    known = self._known(character)
                    part = self._found(known, character.id)
                    if part is None:
                        role, part = self._chosen(known, speakers, ())
                        self._unwritten = (*self._unwritten, role)
                    parts.append(replace(part, problem=""))
            finally:
                self._unwritten = before
            return parts

    def write_down(self, parts: Iterable[Part]) -> list[Role]:
        """Append characters to the cast file, except those already in it.

        Args:
            parts: The parts to add.

        Returns:
            The roles that were added.

        Raises:
            ConfigurationError: The file is invalid, or its form allows no additions; the hint then
                shows the lines to add.
            StorageFailed: The file cannot be written.
        """
        with self._mutex:
            try:
                with self._locked():
                    return self._added(parts)
            except OSError as error:
                raise StorageFailed(f"Cannot write to {self.file}: {error.strerror}.") from error

    def _added(self, parts: Iterable[Part]) -> list[Role]:
        self._cast.look()
        before, cast = self._cast.cast.roles, self._cast.cast
        for part in parts:
            who = part.character
            if cast.find(who.id) is not None:
                continue
            role = cast.find(who.called)
            if role in before:  # the user already cast this name
                continue
            if role is not None and role.voice != part.voice:  # another character with this name
                cast = cast.with_role(Role(who.id, part.voice))
                continue
            same = name_key(who.called) == name_key(who.id)
            aliases = () if same else (who.id,)
            role = Role(who.called, part.voice) if role is None else role
            cast = cast.with_role(replace(role, aliases=(*role.aliases, *aliases)))
        added = list(cast.roles[len(before) :])
        if added:
            self._append(added)
        return added

    def _append(self, added: Sequence[Role]) -> None:
        data = self.file.read_bytes() if self.file.exists() else b""
        text = data.decode("utf-8-sig")
        newline = "\r\n" if "\r\n" in text else "\n"
        more = written(added, newline=newline)
        if text and not text.endswith("\n"):
            more = newline + more
        try:
            fits = read_cast(text + more, "").roles == (*self._cast.cast.roles, *added)
        except ConfigurationError:
            fits = False
        if not fits:
            raise ConfigurationError(
                f"{self.file} has a form to which no entries can be added.",
                source=str(self.file),
                hint=f"Add these lines yourself:\n{more}",
            )
        with self.file.open("ab") as file:
            file.write(more.encode("utf-8"))
        self._cast.look()

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.file.with_name(f".{self.file.stem}.lock"))

    def _assigned_now(
        self, known: Character, asked: str, speakers: Sequence[Speaker], near: Collection[str]
    ) -> Part:
        self._assigned.look()  # another process may have assigned a voice
        if found := self._found(known, asked):
            return found
        role, part = self._chosen(known, speakers, near)
        cast = self._in_mind.with_role(role)
        replace_text(self._assigned.file, _HEAD + written(cast.roles))
        self._unwritten = ()
        self._assigned.look()
        _tell(known, part)
        return part

    def _kept_in_mind(
        self,
        known: Character,
        asked: str,
        speakers: Sequence[Speaker],
        near: Collection[str],
        why: str,
    ) -> Part:
        if (found := self._found(known, asked)) is not None:
            return found
        role, part = self._chosen(known, speakers, near)
        self._unwritten = (*self._unwritten, role)
        _tell(known, part, problem=why)
        return replace(part, problem=self._problem)

    @property
    def _in_mind(self) -> Cast:
        """Assigned voices, stored and not yet stored; the stored ones take precedence."""
        cast = self._assigned.cast
        for role in self._unwritten:
            if cast.find(role.name) is None:
                free = tuple(alias for alias in role.aliases if cast.find(alias) is None)
                cast = cast.with_role(replace(role, aliases=free))
        return cast

    @property
    def _problem(self) -> str:
        return f"{self._assigned.file} cannot be written: after a restart it may be another voice"

    def _chosen(
        self, known: Character, speakers: Sequence[Speaker], near: Collection[str]
    ) -> tuple[Role, Part]:
        """Return the role to store, and the part.

        A name keeps its voice, unless another character with that name is in the same scene.
        """
        before = self._in_mind.find(known.name)
        beside = {name_key(voice) for voice in near}
        if before is not None and name_key(before.voice.voice) not in beside:
            role = replace(before, aliases=(*before.aliases, known.id))
        else:
            roles = [*self._cast.cast.roles, *self._in_mind.roles]
            used = Counter(name_key(role.voice.voice) for role in roles)
            voice = CastVoice(
                fitting(known, speakers, used=used, near=near).name, language=known.language
            )
            has_alias = before is None and name_key(known.name) not in ("", name_key(known.id))
            role = Role(known.id, voice, (known.name,) if has_alias else ())
        return role, Part(known, role.voice, is_cast=False)

    def _found(self, known: Character, asked: str) -> Part | None:
        """Return the part of a character, or None; the cast takes precedence."""
        for name in filter(None, (known.id, known.name)):
            if role := self._cast.cast.find(name):
                return Part(known, role.voice, is_cast=True)
        for cast, problem in (
            (self._assigned.cast, ""),
            (Cast(self._unwritten), self._problem),
        ):
            if role := cast.find(asked) or cast.find(known.id):
                called = replace(known, name=known.name or "".join(role.aliases[:1]))
                return Part(called, role.voice, is_cast=False, problem=problem)
        return None

    def _known(self, character: Character) -> Character:
        """Return the character with missing details from its sheet.

        A character given by name only takes the id of the sheet with that name.
        """
        if self._cast.cast.find(character.id):
            return character
        sheet = self._sheet_of(character)
        if sheet is None:
            return character
        said = {key: value for key, value in vars(character).items() if value}
        if name_key(character.name) == name_key(character.id):
            said.pop("name", None)  # only repeats the id
        return replace(sheet, **{**said, "id": character.id if character.name else sheet.id})

    def _sheet_of(self, character: Character) -> Character | None:
        ids, names = {}, {}
        for sheet in reversed(self.characters()):  # so the first of two namesakes wins
            ids[name_key(sheet.id)] = names[name_key(sheet.name)] = sheet
        for name in filter(None, (character.id, character.name)):
            if (found := ids.get(name_key(name)) or names.get(name_key(name))) is not None:
                return found
        return None

    def _look(self) -> None:
        """Reload changed files, at most once a second."""
        now = self._clock()
        if self._looked is not None and now - self._looked < _LOOK_EVERY:
            return
        self._cast.look()
        self._assigned.look()
        self._sheets = None
        self._looked = now


class _Read:
    """A cast file, cached until it changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.cast = Cast()
        self._stamp: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Reload the file if it has changed; a missing file counts as empty."""
        try:
            stat = self.file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return
            text = self.file.read_text(encoding="utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            self.cast, self._stamp = Cast(), None
            return
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"Cannot read the cast in {self.file}: {error}.", source=str(self.file)
            ) from None
        self.cast, self._stamp = read_cast(text, str(self.file)), stamp


def _tell(known: Character, part: Part, **more: object) -> None:
    log_event(
        _log, logging.INFO, "character.assigned", character=known.id, voice=part.voice.voice, **more
    )


def _check(speakers: Sequence[Speaker]) -> None:
    if not speakers:
        raise UnknownSpeaker("The backend offers no voices to assign to a character.")
