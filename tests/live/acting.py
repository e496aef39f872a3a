"""Checks of characters: who speaks for whom, and a scene that becomes clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speaking import heard
from workplace import EDITOR, Engine, Workplace, expect

from storycore_tts.domain.voices import gender_of

Clip = dict[str, Any]

TEXT = "We should not have come here."
TONE = "Dramatic"

# The engine's own makers of characters and scenes, called as its services call them.
_SHEETS = """
import json, sys, uuid
from pathlib import Path
from src.character_wizard.integration_manager import CharacterLibraryManager
from src.character_wizard.models import CharacterProfile, Gender
library = CharacterLibraryManager(Path(sys.argv[1]))
made = []
for name, gender, age, voice in (
    ("Marie", "female", "adult", "bright and energetic"),
    ("Noir", "male", "adult", "deep and commanding"),
    ("Dubois", "male", "elderly", "warm and wise"),
    ("Lea", "female", "child", "clear and natural"),
):
    sheet = CharacterProfile(character_id=str(uuid.uuid4()), name=name, gender=Gender(gender))
    sheet.visual_identity.age_range = age
    sheet.voice_identity.voice_type = voice
    library.add_character(sheet)
    made.append(sheet.character_id)
print(json.dumps(made))
"""

_PROJECT = """
import json, sys
from backend.project_builder import ProjectBuilder
from backend.story_transformer import StructuredScenario
people = [{"id": n, "nom": name} for n, name in enumerate(("Marie", "Noir", "Dubois", "Lea"), 1)]
scenario = StructuredScenario({"titre": "Film"}, people, [], [], {}, [], [])
builder = ProjectBuilder(scenario, sys.argv[1])
builder.build_project()
print(json.dumps([one.id for one in builder.characters]))
"""

_SCENE = """
import asyncio, json, random
from src.ai_character_engine import AICharacterEngine, CharacterArchetype, CharacterGenerationConfig
from src.ai_enhancement_engine import AIConfig
from src.automation.dialogue_automation import DialogueAutomation, DialogueContext, DialogueTemplate
random.seed(7)

async def main():
    maker = AICharacterEngine(AIConfig())
    await maker.initialize()
    kinds = map(CharacterArchetype, ("hero", "villain", "mentor", "sidekick"))
    wanted = [CharacterGenerationConfig(archetype=kind) for kind in kinds]
    people = [await maker.generate_character(one) for one in wanted]
    scene = DialogueAutomation().generate_dialogue(
        people, DialogueContext(location="Lab"), num_lines=6, template=DialogueTemplate.MULTI_PARTY
    )
    print(json.dumps(scene.to_dict()))

asyncio.run(main())
"""


def characters(place: Workplace) -> str:
    """Four characters of a scene have four voices, the same ones every time."""
    checkout = place.spoken_copy()
    kinds = {
        "sheets of the wizard": checkout.ask(_SHEETS, "projects/film"),
        "sheets of the project": checkout.ask(_PROJECT, "film"),
        "numbers": ["1", "2", "3", "4"],
        "names": ["Marie", "Noir", "Dubois", "Lea"],
    }
    found = []
    for kind, ids in kinds.items():
        with place.engine(checkout) as engine:
            first = [_voice_of(place, engine, one) for one in ids]
            again = [_voice_of(place, engine, one) for one in ids]
        with place.engine(checkout) as engine:
            backwards = [_voice_of(place, engine, one) for one in reversed(ids)]
        expect(len(set(first)) == len(ids), f"{kind}: {dict(zip(ids, first, strict=True))}")
        expect(first == again, f"{kind}: {first}, then {again}")
        expect(first == backwards[::-1], f"{kind}: {first}, after a restart {backwards[::-1]}")
        if kind != "numbers":
            expect(gender_of(first[0]) == "female", f"{kind}: {first[0]} speaks for Marie")
        found.append(f"{kind}: {', '.join(first)}")
    return "; ".join(found)


def _voice_of(place: Workplace, engine: Engine, character: str) -> str:
    since = place.jobs_asked()
    step = engine.produced(character, TEXT, tone=TONE)
    path = Path(engine.checkout.root, step["output"]["filename"])
    expect(path.is_file(), f"{character}: there is no file {path}")
    speakers = place.asked_for("speaker", since)
    expect(len(speakers) == 1, f"{character}: ComfyUI was asked for {speakers}")
    manner = place.asked_for("instruct", since)[-1]
    expect(len(manner) > len(TONE), f"{TONE!r} is said to the model as {manner!r}")
    return speakers[0]


def scene(place: Workplace) -> str:
    """A dialogue of the engine becomes sound, and clips in the engine's own timeline."""
    checkout = place.spoken_copy()
    made = checkout.ask(_SCENE)
    file = f"data/dialogues/{made['scene_id']}.json"
    with place.engine(checkout) as engine:
        project, track = _project(engine)
        told = checkout.ours(
            "storycore", "speak-scene", file, "--json",
            "--engine", engine.url, "--project", project, "--track", track,
        )  # fmt: skip
        clips: list[Clip] = json.loads(told.stdout)["clips"]
        expect(len(clips) == len(made["lines"]), f"{len(clips)} clips for {len(made['lines'])}")
        end = 0.0
        for clip in clips:
            long = clip["end_time"] - clip["start_time"]
            heard(Path(checkout.root, clip["file_path"]).read_bytes(), long)
            expect(clip["start_time"] >= end - 0.001, f"two lines at once: {clip}")
            end = clip["end_time"]
        voices = _voices(clips)
        expect(len(set(voices.values())) == len(voices), f"characters share a voice: {voices}")
        _in_the_timeline(engine, project, track, clips)
    return f"{len(clips)} clips, {end:.1f} s, {len(voices)} voices"


def _project(engine: Engine) -> tuple[str, str]:
    """A project of the engine, and a track in it."""
    who = {"email": "live@localhost.org", "password": "long enough", "name": "Live"}
    engine.call("POST", f"{EDITOR}/auth/register", json=who)
    token = engine.call("POST", f"{EDITOR}/auth/login", json=who).json()["access_token"]
    project = engine.call(
        "POST", f"{EDITOR}/projects", params={"authorization": f"Bearer {token}"},
        json={"name": "Film"},
    ).json()["id"]  # fmt: skip
    body = {"name": "Dialogue", "type": "audio"}
    track = engine.call("POST", f"{EDITOR}/projects/{project}/tracks", json=body).json()["id"]
    return project, track


def _voices(clips: list[Clip]) -> dict[str, str]:
    """Who speaks for each character of a scene."""
    voices: dict[str, str] = {}
    for clip in clips:
        about = clip["metadata"]
        first = voices.setdefault(about["character_id"], about["speaker"])
        expect(first == about["speaker"], f"{about['character_id']} changed from {first}")
    return voices


def _in_the_timeline(engine: Engine, project: str, track: str, clips: list[Clip]) -> None:
    """The engine shows its tracks only in the answer to a move: of a clip at the very end."""
    timeline = f"{EDITOR}/projects/{project}"
    body = {"type": "audio", "startTime": 9_000.0, "duration": 1.0, "name": "last"}
    last = engine.call("POST", f"{timeline}/tracks/{track}/clips", json=body).json()
    moved = engine.call(
        "POST", f"{timeline}/clips/{last['id']}/move",
        json={"startTime": 9_500.0, "trackId": track},
    ).json()  # fmt: skip
    there = [clip for one in moved["project"]["tracks"] for clip in one["clips"]]
    wanted = sorted((round(c["start_time"], 3), round(c["end_time"], 3)) for c in clips)
    found = sorted(
        (round(c["start_time"], 3), round(c["end_time"], 3)) for c in there if c["name"] != "last"
    )
    expect(found == wanted, f"the timeline has {found}, not {wanted}")
