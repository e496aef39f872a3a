"""A project's cast, and the voices that are given to those without an entry."""

import multiprocessing

import pytest

from storycore_tts.adapters.draft.voices import SPEAKERS
from storycore_tts.domain.casting import CastVoice, Character
from storycore_tts.domain.voices import described
from storycore_tts.errors import ConfigurationError, UnknownSpeaker
from storycore_tts.services.casting import Casting

NINE = [described(name) for name in SPEAKERS]
PROCESSES, EACH = 2, 6


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def project(tmp_path, clock):
    """Returns the project's casting, as another process would open it."""
    sheets = [Character("uuid-1", "Marie", "female"), Character("uuid-2", "Noir", "male", "67")]
    return lambda: Casting(tmp_path / "cast.yaml", sheets=lambda _: sheets, clock=clock)


def voice_of(casting, character_id, name="", **how):
    return casting.assign(Character(character_id, name), NINE, **how).voice.voice


def test_who_is_not_cast_is_given_a_voice_that_every_process_remembers(project):
    given = {name: voice_of(project(), name) for name in ("char_001", "1", "uuid-1", "Lea")}
    assert len(set(given.values())) == 4
    again = project()
    for name, voice in reversed(given.items()):
        part = again.find(Character(name))
        assert (part.voice.voice, part.is_cast) == (voice, False)
        assert part.notes == (f"{part.character.called} is not cast; {voice} speaks",)


def test_the_cast_has_the_last_word_and_a_change_is_noticed_within_a_second(
    project, tmp_path, clock
):
    casting = project()
    before = voice_of(casting, "uuid-1")
    (tmp_path / "cast.yaml").write_text("Marie: {voice: Sohee, language: ko}\n")
    assert casting.find(Character("uuid-1")).voice.voice == before
    clock.now += 1
    part = casting.find(Character("uuid-1"))
    assert (part.voice, part.is_cast, part.notes) == (
        CastVoice("Sohee", language="Korean"), True, (),
    )  # fmt: skip
    (tmp_path / "cast.yaml").unlink()
    clock.now += 1
    assert casting.find(Character("uuid-1")).voice.voice == before


def test_voices_of_the_cast_are_not_given_to_others(project, tmp_path):
    (tmp_path / "cast.yaml").write_text("".join(f"c{n}: {s}\n" for n, s in enumerate(SPEAKERS[1:])))
    assert voice_of(project(), "char_001") == SPEAKERS[0]


def test_a_character_has_one_voice_by_id_and_by_name(project):
    casting = project()
    assert voice_of(casting, "Marie") == voice_of(casting, "uuid-1", "Marie")
    assert casting.find(Character("MARIE")).character.id == "uuid-1"
    assert voice_of(casting, "Lyra 859") == voice_of(casting, "6a9b61b8", "Lyra 859")
    assert project().find(Character("6a9b61b8")).voice == casting.find(Character("6a9b61b8")).voice
    assert casting.knows("noir")
    assert not casting.knows("somebody")


def test_a_voice_stays_when_a_sheet_joins_its_name_and_its_id(tmp_path, clock):
    sheets = []
    casting = Casting(tmp_path / "cast.yaml", sheets=lambda _: sheets, clock=clock)
    given = {asked: voice_of(casting, asked) for asked in ("char_001", "Marie")}
    sheets.append(Character("char_001", "Marie", "male"))
    clock.now += 1
    assert {asked: voice_of(casting, asked) for asked in given} == given


def test_two_ids_with_one_name_in_one_scene_are_two_characters(project):
    casting = project()
    first = voice_of(casting, "g1", "Guard")
    second = voice_of(casting, "g2", "Guard", near=[first])
    assert first != second
    assert voice_of(casting, "g3", "Guard") == first
    assert [voice_of(project(), one, "Guard") for one in ("g1", "g2", "Guard")] == [
        first, second, first,
    ]  # fmt: skip


def test_a_name_that_is_the_id_once_more_does_not_hide_that_of_the_sheet(project, tmp_path):
    (tmp_path / "cast.yaml").write_text("Marie: Sohee\n")
    assert voice_of(project(), "uuid-1", "uuid-1") == "Sohee"


def test_everybody_is_listed_once(project):
    casting = project()
    parts = casting.proposed([*casting.everybody(), Character("6a9b61b8", "Lyra 859")], NINE)
    voice_of(casting, "6a9b61b8", "Lyra 859")
    casting.write_down(parts)
    everybody = [(one.id, one.name) for one in project().everybody()]
    assert everybody == [("uuid-1", "Marie"), ("uuid-2", "Noir"), ("6a9b61b8", "Lyra 859")]


def test_what_a_sheet_knows_decides(project):
    assert voice_of(project(), "uuid-2") == "Uncle_fu"


def test_what_would_be_given_is_what_is_given_and_nothing_is_written_before(project, tmp_path):
    casting = project()
    proposed = casting.proposed([Character("char_001"), *casting.everybody()], NINE)
    assert list(tmp_path.iterdir()) == []
    assert casting.find(Character("char_001")) is None
    assert len({part.voice.voice for part in proposed}) == 3
    for part in proposed:
        assert casting.assign(part.character, NINE).voice == part.voice


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("ending", [True, False])
def test_the_cast_is_added_to_and_its_other_bytes_stay(project, tmp_path, newline, ending):
    lines = ["# ours", "STEEL: {voice: Ryan,   aliases: [char_001]} # tired", "'x': Eric"]
    before = (newline.join(lines) + newline * ending).encode()
    (tmp_path / "cast.yaml").write_bytes(before)
    casting = project()
    voice_of(casting, "char_007")
    people = [*casting.everybody(), Character("uuid-9", "Marie"), Character("char_001", "Steel")]
    parts = casting.proposed(people, NINE)
    assert [role.name for role in casting.write_down(parts)] == ["char_007", "Marie", "Noir"]
    after = (tmp_path / "cast.yaml").read_bytes()
    assert after.startswith(before)
    assert after[len(before) :].count(b"\n") == after[len(before) :].count(newline.encode())
    for part in parts:
        found = project().find(Character(part.character.id))
        assert (found.voice, found.is_cast) == (part.voice, True)
    assert casting.write_down(parts) == []


def test_a_cast_that_cannot_be_added_to_is_left_alone_and_the_lines_are_told(project, tmp_path):
    (tmp_path / "cast.yaml").write_text("{STEEL: Ryan}\n")
    casting = project()
    with pytest.raises(ConfigurationError) as told:
        casting.write_down(casting.proposed([Character("char_001")], NINE))
    assert "char_001: {voice:" in told.value.hint
    assert (tmp_path / "cast.yaml").read_text() == "{STEEL: Ryan}\n"


def test_a_folder_that_takes_no_file_is_told_of_and_the_voice_is_kept_in_mind(tmp_path, clock):
    (tmp_path / "file").write_text("")
    casting = Casting(tmp_path / "file" / "cast.yaml", clock=clock)
    given = {name: voice_of(casting, name) for name in ("a", "b", "c")}
    assert len(set(given.values())) == 3
    for name, voice in given.items():
        clock.now += 1
        part = casting.find(Character(name))
        assert part.voice.voice == voice
        assert "cast.assigned.yaml cannot be written" in part.notes[0]


def test_what_was_kept_in_mind_is_written_as_soon_as_it_can_be(tmp_path, clock):
    folder = tmp_path / "project"
    casting = Casting(folder / "cast.yaml", clock=clock)
    kept = voice_of(casting, "a", "Anna")
    folder.mkdir()
    voice_of(casting, "b")
    assert voice_of(Casting(folder / "cast.yaml", clock=clock), "Anna") == kept
    assert casting.find(Character("a")).notes == (f"Anna is not cast; {kept} speaks",)


@pytest.mark.parametrize("name", ["cast.yaml", "cast.assigned.yaml"])
@pytest.mark.parametrize("damage", [b"A: {voise: Ryan}", b"\xff\xfe\x00"])
def test_a_damaged_file_is_named_and_not_overwritten(project, tmp_path, name, damage):
    (tmp_path / name).write_bytes(damage)
    with pytest.raises(ConfigurationError, match=name):
        voice_of(project(), "char_001")
    assert (tmp_path / name).read_bytes() == damage


def test_a_backend_without_voices_is_told(project):
    with pytest.raises(UnknownSpeaker):
        project().assign(Character("char_001"), [])


def _cast_some(folder, start, first):
    start.wait()
    casting = Casting(folder / "cast.yaml")
    for number in range(first, first + EACH):
        casting.assign(Character(f"char_{number}"), NINE)
        casting.assign(Character(f"both_{number - first}"), NINE)


def test_processes_that_cast_at_once_lose_nobody_and_agree(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(PROCESSES)
    running = [
        spawn.Process(target=_cast_some, args=(tmp_path, start, number * EACH))
        for number in range(PROCESSES)
    ]
    for one in running:
        one.start()
    for one in running:
        one.join(60)
        assert one.exitcode == 0
    casting = Casting(tmp_path / "cast.yaml")
    names = [f"char_{n}" for n in range(PROCESSES * EACH)] + [f"both_{n}" for n in range(EACH)]
    voices = [casting.find(Character(name)).voice.voice for name in names]
    assert len(voices) == 18
    assert {voices.count(voice) for voice in SPEAKERS} == {2}
