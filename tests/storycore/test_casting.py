"""Characters as the engine names them, and who speaks for them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import storycore_tts
from storycore_tts import (
    ConfigurationError,
    QwenTTSService,
    StoredVoice,
    UnknownSpeaker,
    VoiceLibrary,
    create_editor_router,
)
from storycore_tts.adapters.engine.sheets import read_sheets
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.voices import gender_of
from storycore_tts.testing.comfyui.log import Submitted

from .caller import AIConfig, AIVideoEditorService, speaking_character

LINE = "We have to go."
SCENE = ["char_001", "6a9b61b8-dcff-45d6-bccc-5ecd0bba2ba6", "1", "Marie"]
SPEAK_ONE = """
import asyncio, sys
from storycore_tts import QwenTTSService
async def main():
    service = QwenTTSService(config=sys.argv[1])
    print((await service.text_to_speech(text="Hi.", voice=sys.argv[2])).speaker)
asyncio.run(main())
"""


def asked(server):
    """Return the inputs of the node that spoke last."""
    graph = server.log.of(Submitted)[-1].graph
    return next(n["inputs"] for n in graph.values() if "speaker" in n["inputs"])


async def produced(file, voices=SCENE, tone=None, url=None):
    """Speak as the production service does: a new service for each job, and none is closed."""
    told = [
        await QwenTTSService(comfyui_url=url, config=file).text_to_speech(
            text=LINE, voice=voice, instruct=tone or "neutral"
        )
        for voice in voices
    ]
    assert [one.error_message for one in told] == [None] * len(voices)
    return {one.voice: one for one in told}


async def test_four_characters_of_a_scene_have_four_voices_in_every_process(settings, caplog):
    file = settings()
    with caplog.at_level(logging.INFO, "storycore_tts"):
        first = await produced(file)
    voices = {voice: one.speaker for voice, one in first.items()}
    assert len(set(voices.values())) == 4
    assert gender_of(voices["Marie"]) == "female"
    for voice, one in first.items():
        assert one.warnings == (f"{voice} is not cast; {one.speaker} speaks",)
        assert f"character={voice} voice={one.speaker}" in caplog.text
    again = await produced(file, list(reversed(SCENE)))
    assert {voice: one.speaker for voice, one in again.items()} == voices
    command = [sys.executable, "-c", SPEAK_ONE, file, "1"]
    run = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True, env=os.environ
    )
    assert run.stdout.strip() == voices["1"]


async def test_four_voices_reach_comfyui_with_the_tone(standin_comfyui_factory, settings):
    server = standin_comfyui_factory(instant=True)
    file = settings(backend="comfyui")
    told = await produced(file, tone="Dramatic", url=server.url)
    sent = [job.graph for job in server.log.of(Submitted)]
    speakers = [
        n["inputs"]["speaker"] for g in sent for n in g.values() if "speaker" in n["inputs"]
    ]
    assert speakers == [one.speaker for one in told.values()]
    assert len(set(speakers)) == 4
    assert asked(server)["instruct"] == storycore_tts.style_instruct("dramatic")


async def test_where_the_model_does_not_listen_a_warning_says_so(standin_comfyui_factory, settings):
    server = standin_comfyui_factory(instant=True)
    small = settings(backend="comfyui", model_choice="0.6B")
    told = await produced(small, ["Ryan"], tone="fearful", url=server.url)
    assert "0.6B model ignores instruct" in told["Ryan"].warnings[0]
    assert "cannot act" in (await produced(settings(), ["Ryan"], tone="Angry"))["Ryan"].warnings[0]


async def test_the_editor_and_the_router_cast_as_production_does(settings, tmp_path):
    file = settings(output_dir=str(tmp_path / "out"))
    (tmp_path / "cast.yaml").write_text("Marie: {voice: Sohee, aliases: [char_001]}\n")
    editor = AIVideoEditorService(AIConfig("qwen", temp_dir=str(tmp_path / "temp")))
    storycore_tts.install(editor, file)
    result = await editor.voice_over(LINE, voice="char_001")
    assert (result.voice, result.speaker) == ("char_001", "Sohee")
    assert not any("not cast" in warning for warning in result.warnings)
    other = await editor.tts.text_to_speech(LINE, voice="char_002")
    assert other.warnings[0] == f"char_002 is not cast; {other.speaker} speaks"
    assert (await produced(file, ["char_002"]))["char_002"].speaker == other.speaker
    await editor.tts.aclose()


async def test_the_router_casts_too(tmp_path, standin_comfyui_factory):
    httpx, fastapi = pytest.importorskip("httpx"), pytest.importorskip("fastapi")
    server = standin_comfyui_factory(instant=True)
    (tmp_path / "cast.yaml").write_text("MARIE: Sohee\n")
    app = fastapi.FastAPI()
    config = storycore_tts.QwenTTSConfig(
        backend="comfyui",
        comfyui_url=server.url,
        output_dir=str(tmp_path / "out"),
        server={"state_dir": str(tmp_path / "state")},
    )
    app.include_router(create_editor_router(config))
    async with app.router.lifespan_context(app) as state:

        async def stated(scope, receive, send):
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(app=stated)
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
            said = {"text": LINE, "voice": "marie"}
            answer = await client.post("/api/video-editor/ai/tts", json=said)
    assert answer.status_code == 200
    assert asked(server)["speaker"] == "Sohee"


async def test_a_voice_of_the_cast_that_is_nowhere_is_told_with_its_character(settings, tmp_path):
    (tmp_path / "cast.yaml").write_text("MARIE: {voice: Vivienne}\n")
    async with QwenTTSService(config=settings()) as service:
        result = await service.text_to_speech(LINE, voice="Marie")
    assert result.error_message.startswith("The voice of Marie does not exist: The")


@pytest.mark.parametrize(("text", "file"), [("", "ghost.wav"), (LINE, "ghost.exe")])
async def test_a_line_that_is_refused_gives_no_character_a_voice(settings, tmp_path, text, file):
    async with QwenTTSService(config=settings()) as service:
        path = tmp_path / file
        result = await service.text_to_speech(text, voice="Ghost", output_path=path)
    assert not result.success
    assert not (tmp_path / "cast.assigned.yaml").exists()


async def test_what_is_a_voice_already_stays_one(settings, tmp_path, recording):
    names = ("Ryan", "fr-FR-Denise", "Mia", "en-GB-Amelia", "male")
    cast = "".join(f"{name}: Eric\n" for name in names[:3])
    (tmp_path / "cast.yaml").write_text(cast)
    file = settings()
    reference = ReferenceAudio.from_file(recording, transcript="Some words.")
    voice = StoredVoice("Mia", consent="Mia, 2026-01-02", reference=reference)
    await asyncio.to_thread(VoiceLibrary(tmp_path / "voices").add, voice)
    async with QwenTTSService(config=file) as service:
        said = {name: await service.text_to_speech(LINE, voice=name) for name in names}
    assert [said[n].speaker for n in names] == ["Ryan", "Serena", "", "Serena", "Ryan"]
    assert "cannot clone" in said["Mia"].error_message
    assert not (tmp_path / "cast.assigned.yaml").exists()


async def test_a_character_may_have_the_name_of_a_voice_of_openai(settings, tmp_path):
    (tmp_path / "cast.yaml").write_text("NOVA: Dylan\n")
    said = await produced(settings(), ["Nova", "Echo"])
    assert said["Nova"].speaker == "Dylan"
    assert "echo" in (tmp_path / "cast.assigned.yaml").read_text().casefold()


async def test_a_character_whose_id_looks_like_a_locale_is_one_once_it_is_known(settings, tmp_path):
    (tmp_path / "cast.yaml").write_text("li_wu: Dylan\n")
    assert (await produced(settings(), ["Li_Wu"]))["Li_Wu"].speaker == "Dylan"


async def test_a_cast_voice_brings_language_manner_and_checkpoint(
    settings, tmp_path, standin_comfyui_factory
):
    server = standin_comfyui_factory(instant=True, checkpoints={"/voices/mara": ["mara"]})
    (tmp_path / "play").mkdir()
    (tmp_path / "play" / "cast.yaml").write_text(
        "STEEL: {voice: Eric, language: de, instruct: 'gravelly, tired'}\n"
        "MARA: {voice: mara, checkpoint: /voices/mara}\n"
    )
    file = settings(backend="comfyui", cast=str(tmp_path / "play" / "cast.yaml"))
    await produced(file, ["Steel"], tone="Whispers", url=server.url)
    heard = {"speaker": "Eric", "language": "German", "instruct": "gravelly, tired. Whispering."}
    assert heard.items() <= asked(server).items()
    await produced(file, ["mara"], url=server.url)
    assert asked(server)["custom_model_path"] == "/voices/mara"


async def test_a_cast_that_is_refused_is_told_with_its_line(settings, tmp_path):
    (tmp_path / "cast.yaml").write_text("A: Ryan\nB: {voise: Eric}\n")
    told = await QwenTTSService(config=settings()).text_to_speech(text=LINE, voice="A")
    assert not told.success
    assert "cast.yaml, line 2: B.voise is not a valid key" in told.error_message
    editor = AIVideoEditorService(AIConfig("qwen"))
    storycore_tts.install(editor, settings())
    with pytest.raises(ConfigurationError):
        await editor.tts.text_to_speech(LINE, voice="A")


async def test_a_name_that_nobody_has_stays_a_mistake_outside_the_engine(settings, tmp_path):
    async with storycore_tts.open_tts(settings()) as tts:
        with pytest.raises(UnknownSpeaker):
            await tts.say(LINE, speaker="char_001")
    assert not (tmp_path / "cast.assigned.yaml").exists()


async def test_a_folder_that_takes_no_file_is_warned_of(settings, tmp_path):
    (tmp_path / "file").write_text("")
    file = settings(cast=str(tmp_path / "file" / "cast.yaml"))
    told = await produced(file)
    assert len({one.speaker for one in told.values()}) == 4
    assert all("cannot be written" in one.warnings[0] for one in told.values())


async def test_the_address_that_nobody_chose_does_not_hide_that_of_the_settings(
    standin_comfyui_factory, settings
):
    chosen, other = (standin_comfyui_factory(instant=True) for _ in range(2))
    file = settings(backend="comfyui", comfyui_url=chosen.url)
    await produced(file, ["Ryan"], url="http://127.0.0.1:7860")
    assert len(chosen.log.of(Submitted)) == 1
    await produced(file, ["Ryan"], url=other.url)
    assert len(other.log.of(Submitted)) == 1


# Character sheets -------------------------------------------------------------------------------


def sheet(folder, name, document):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document))


def test_sheets_of_all_kinds_are_read_and_damaged_ones_warned_of(tmp_path, caplog):
    wizard = {
        "character_id": "uuid-1",
        "name": "Anna",
        "gender": "female",
        "visual_identity": {"age_range": "elderly"},
        "voice_identity": {"voice_type": "warm and wise", "accent": "Beijing", "dialect": None},
    }
    page = {"character_id": "uuid-2", "name": "Tom", "visual_identity": {"gender": "Male"}}
    french = {"id": "char_001", "nom": "Lou", "age": "Inconnu", "histoire": "Une femme seule."}
    sheet(tmp_path, "characters/uuid-1.json", wizard)
    sheet(tmp_path, "characters/character_uuid-2.json", page)
    sheet(tmp_path, "characters/char_001.json", french)
    sheet(tmp_path, "characters/damaged.json", "{")
    sheet(tmp_path, "characters/other.json", [7, {"voice_identity": 3}, {"id": "no name"}])
    sheet(tmp_path, "characters.json", {"characters": [{"character_id": "hero", "name": "Alex"}]})
    sheet(tmp_path, "scenario.json", {"personnages": [{"id": 1, "nom": "Marie"}]})
    sheet(tmp_path, "project.json", {"id": "p", "characters": [{**wizard, "gender": "male"}]})
    found = {one.id: one for one in read_sheets(tmp_path)}
    assert set(found) == {"uuid-1", "uuid-2", "char_001", "hero", "1"}
    anna = found["uuid-1"]
    assert (anna.gender, anna.age, anna.description, anna.accent) == (
        "female", "elderly", "warm and wise", "Beijing",
    )  # fmt: skip
    assert [found[one].gender for one in ("uuid-2", "char_001", "1", "hero")] == [
        "male", "female", "", "",
    ]  # fmt: skip
    assert caplog.text.count("sheet.damaged") == 1
    assert "damaged.json" in caplog.text


def test_sheets_of_an_engines_projects_are_read_and_an_id_with_two_meanings_tells_nothing(tmp_path):
    for project, name, story in (("a", "Lou", "Une femme."), ("b", "Max", "Un homme.")):
        told = {"id": "char_001", "nom": name, "histoire": story}
        sheet(tmp_path, f"projects/{project}/characters/char_001.json", told)
        other = {"character_id": "uuid-1", "name": "Anna", "gender": "female"}  # the same in both
        sheet(tmp_path, f"projects/{project}/characters/uuid-1.json", other)
    found = {one.id: one.gender for one in read_sheets(tmp_path)}
    assert found == {"uuid-1": "female", "Lou": "female", "Max": "male"}


@examples(max_examples=60, deadline=None)
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "name", "characters", "voice_identity", "gender", "age"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_sheet_is_read_without_failing(document, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    sheet(folder, "characters.json", document)
    assert all(one.id for one in read_sheets(folder))


async def test_a_sheet_decides_and_its_name_and_id_are_one_character(settings, tmp_path):
    known = {"character_id": "uuid-1", "name": "Otto", "gender": "male"}
    known["voice_identity"] = {"voice_type": "deep and commanding"}
    sheet(tmp_path, "characters/uuid-1.json", known)
    told = await produced(settings(), ["uuid-1", "Otto"])
    assert {one.speaker for one in told.values()} == {"Uncle_fu"}
    assert told["uuid-1"].warnings == ("Otto is not cast; Uncle_fu speaks",)
    assert await speaking_character(QwenTTSService(config=settings()), LINE, "otto", None)
