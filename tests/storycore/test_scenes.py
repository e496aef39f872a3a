"""A dialogue of the engine's, spoken."""

from __future__ import annotations

import asyncio
import json

import httpx
import numpy as np
import pytest
import soundfile
import yaml

from storycore_tts import (
    AuthenticationFailed,
    BackendUnavailable,
    ConsentRefused,
    InvalidRequest,
    UnknownSpeaker,
    speak_scene,
)
from storycore_tts.adapters.engine.dialogues import read_dialogue
from storycore_tts.adapters.engine.timeline import post_clips
from storycore_tts.domain.presets import manner
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.testing.comfyui.log import Submitted

ANNA, TOM = "6a9b61b8-dcff-45d6-bccc-5ecd0bba2ba6", "char_002"


def line(who, name, words, **more):
    usual = {"line_id": f"id-{words[:6]}", "emotion": "neutral", "is_thought": False}
    usual |= {"gesture_note": "stands", "voice_direction": None, "format": "standard"}
    return {**usual, "character_id": who, "character_name": name, "dialogue": words, **more}


SCENE = [
    line(ANNA, "Anna", "We have to go."),
    line(ANNA, "Anna", "Now!", emotion="Fearful", voice_direction="whispers"),
    line(TOM, "Tom Élie", "I stay here.", emotion="proud", is_thought=True),
]


@pytest.fixture
def dialogue(tmp_path):
    """Writes a dialogue as the engine does."""

    def write(lines=SCENE, **more):
        file = tmp_path / "data" / "dialogues" / "S02.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        document = {"scene_id": "S02", "title": "At the door", "context": {}, "lines": lines}
        file.write_text(json.dumps({**document, **more}), encoding="utf-8")
        return file

    return write


@pytest.fixture
def server(standin_comfyui_factory):
    return standin_comfyui_factory(instant=True)


@pytest.fixture
def comfyui(server, settings):
    return settings(backend="comfyui", comfyui_url=server.url, retry={"attempts": 1})


def jobs(server):
    return [
        node["inputs"]
        for job in server.log.of(Submitted)
        for node in job.graph.values()
        if "speaker" in node["inputs"]
    ]


async def test_each_line_becomes_a_file_a_clip_and_an_audio_track(dialogue, settings, tmp_path):
    scene = await speak_scene(dialogue(), config=settings(), track_id="t1")
    assert not scene.failed
    names = ["S02_0010_ANNA", "S02_0020_ANNA", "S02_0030_TOM_ELIE"]
    folder = tmp_path / "output" / "S02"
    assert [take.path for take in scene.takes] == [folder / f"{name}.wav" for name in names]
    seconds = [soundfile.info(take.path).duration for take in scene.takes]
    starts = [0.0, seconds[0] + 0.25, seconds[0] + 0.25 + seconds[1] + 0.5]
    for clip, track, name, start, length in zip(
        scene.clips, scene.audio_tracks, names, starts, seconds, strict=True
    ):
        assert (clip["type"], clip["track_id"], clip["name"]) == ("audio", "t1", name)
        assert clip["start_time"] == track["start_time"] == pytest.approx(start, abs=1e-5)
        assert clip["end_time"] == pytest.approx(start + length, abs=1e-5)
        assert clip["source_end"] == track["duration"] == pytest.approx(length, abs=1e-5)
        assert clip["file_path"] == track["file_path"] == str(folder / f"{name}.wav")
        assert (track["type"], track["muted"], track["regeneratable"]) == ("voice", False, True)
    assert scene.clips[1]["metadata"]["line_id"] == "id-Now!"
    assert len({clip["id"] for clip in scene.clips}) == 3
    anna, again, tom = (clip["metadata"]["speaker"] for clip in scene.clips)
    assert anna == again != tom
    assert json.loads((folder / "scene.json").read_text()) == scene.as_json()


async def test_emotion_direction_and_thought_reach_the_model(dialogue, comfyui, server):
    await speak_scene(dialogue(), config=comfyui, concurrency=1)
    told = [job["instruct"] for job in jobs(server)]
    assert told[0] == ""
    assert told[1] == manner("fearful", "whispers")
    assert told[2].startswith("proud. An inner thought")


async def test_only_what_is_missing_or_has_changed_is_spoken_again(dialogue, comfyui, server):
    first = await speak_scene(dialogue(), config=comfyui)
    assert len(jobs(server)) == 3
    again = await speak_scene(dialogue(), config=comfyui)
    assert len(jobs(server)) == 3
    assert not any(take.is_new for take in again.takes)
    assert again.clips == first.clips
    first.takes[0].path.write_bytes(b"damaged")
    first.takes[2].path.unlink()
    first = await speak_scene(dialogue(), config=comfyui)
    assert [take.is_new for take in first.takes] == [True, False, True]
    before = {take.line.id: take.path.read_bytes() for take in first.takes}
    moved = [SCENE[2], line(TOM, "Tom Élie", "No."), *SCENE[:2]]
    third = await speak_scene(dialogue(moved), config=comfyui)
    assert [take.is_new for take in third.takes] == [False, True, False, False]
    assert [job["text"] for job in jobs(server)[5:]] == ["No."]
    for take in third.takes:
        assert take.path.read_bytes() == before.get(take.line.id, take.path.read_bytes())


async def test_another_voice_or_manner_in_the_cast_is_spoken_again(
    dialogue, comfyui, server, tmp_path
):
    (tmp_path / "cast.yaml").write_text("Anna: Sohee\nTom Élie: Eric\n", encoding="utf-8")
    await speak_scene(dialogue(), config=comfyui)
    other = tmp_path / "other.yaml"
    other.write_text("Anna: Sohee\nTom Élie: Ryan\n", encoding="utf-8")
    document = yaml.safe_load(comfyui.read_text())
    document["tts"]["qwen"]["cast"] = str(other)
    comfyui.write_text(yaml.safe_dump(document))
    scene = await speak_scene(dialogue(), config=comfyui)
    assert [take.is_new for take in scene.takes] == [False, False, True]


async def test_a_revoked_voice_costs_its_own_lines_only_even_those_that_were_kept(
    dialogue, comfyui, tmp_path
):
    library = VoiceLibrary(tmp_path / "voices")
    reference = ReferenceAudio(np.full(24_000, 0.1, np.float32), 24_000)
    library.add(StoredVoice("Mia", consent="hers", reference=reference))
    (tmp_path / "cast.yaml").write_text("Anna: Mia\nTom Élie: Eric\n", encoding="utf-8")
    assert len((await speak_scene(dialogue(), config=comfyui)).takes) == 3
    library.revoke("Mia")
    scene = await speak_scene(dialogue(), config=comfyui)
    assert [take.speaker for take in scene.takes] == ["Eric"]
    assert [type(one.error) for one in scene.failed] == [ConsentRefused, ConsentRefused]


async def test_what_a_fallback_spoke_is_spoken_again_when_the_backend_is_back(
    dialogue, settings, server
):
    quick = {"timeouts": {"connect": 1.0, "away": 0.2}}
    usual = {"backend": "comfyui", "comfyui": quick, "retry": {"attempts": 1}}
    away = settings(**usual, comfyui_url="http://127.0.0.1:9", fallback="draft")
    scene = await speak_scene(dialogue(), config=away)
    assert {take.backend for take in scene.takes} == {"draft"}
    back = settings(**usual, comfyui_url=server.url)
    assert all(take.is_new for take in (await speak_scene(dialogue(), config=back)).takes)


async def test_a_line_that_fails_is_named_and_the_others_are_kept(dialogue, settings):
    long = line(TOM, "Tom", "word " * 3000, line_id="the-long-one")
    scene = await speak_scene(dialogue([SCENE[0], long, SCENE[2]]), config=settings())
    assert [take.line.number for take in scene.takes] == [10, 30]
    assert [(one.line.id, type(one.error)) for one in scene.failed] == [
        ("the-long-one", InvalidRequest)
    ]
    assert scene.as_json()["failed"][0]["line_id"] == "the-long-one"


async def test_those_of_a_scene_differ_even_in_a_project_of_many(dialogue, settings, tmp_path):
    crowd = "".join(f"x{n}: {voice}\n" for n, voice in enumerate(["Serena", "Vivian", "Sohee"] * 3))
    (tmp_path / "cast.yaml").write_text(crowd)
    four = [line(f"c{n}", name, "Hi.") for n, name in enumerate(["Anna", "Emma", "Lucy", "Jane"])]
    scene = await speak_scene(dialogue(four), config=settings())
    assert len({take.speaker for take in scene.takes}) == 4
    assert scene.warnings == ()
    (tmp_path / "other.yaml").write_text("Anna: Sohee\nEmma: Sohee\n")
    shared = await speak_scene(dialogue(four), config=settings(cast="other.yaml"), out="other")
    assert shared.warnings == ("Sohee speaks for Anna and Emma",)


async def test_a_cast_that_names_nobody_stops_before_anything_is_spoken(
    dialogue, comfyui, server, tmp_path
):
    (tmp_path / "cast.yaml").write_text("Anna: Ryann\n")
    with pytest.raises(UnknownSpeaker, match=r"voice of Anna does not exist.*'Ryan'"):
        await speak_scene(dialogue(), config=comfyui)
    assert jobs(server) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([SCENE[0], {**SCENE[1], "dialogue": " "}], r"line 2 \(id-Now!\) has no dialogue"),
        ([{"dialogue": "Hi."}], "line 1 has no character_id"),
        ([SCENE[0], 7], "line 2 must be an object"),
        ([{**SCENE[0], "emotion": ["sad"]}], r"line 1 .*emotion cannot be \['sad'\]"),
        ([{**SCENE[0], "is_thought": "no"}], "line 1 .*is_thought"),
        ([], "has no lines"),
        ({"a": 1}, "no list of lines"),
    ],
)
def test_a_damaged_line_is_named(dialogue, lines, said):
    with pytest.raises(InvalidRequest, match=said):
        read_dialogue(dialogue(lines))


def test_a_file_that_is_no_dialogue_is_told(tmp_path):
    (tmp_path / "x.json").write_text('{"lines": [\n{]}')
    with pytest.raises(InvalidRequest, match="line 2"):
        read_dialogue(tmp_path / "x.json")
    with pytest.raises(InvalidRequest, match="No such file"):
        read_dialogue(tmp_path / "none.json")


def test_what_is_optional_may_be_missing_and_a_uuid_is_cut_short(dialogue):
    bare = [{"character_name": "Anna", "dialogue": "Hi."}, {"character_id": 7, "dialogue": "Oh."}]
    script = read_dialogue(dialogue(bare, scene_id=ANNA))
    assert [one.character.id for one in script.lines] == ["Anna", "7"]
    assert [script.file_name(one) for one in script.lines] == [
        "6A9B61B8_0010_ANNA",
        "6A9B61B8_0020_7",
    ]
    assert script.folder_name == ANNA
    assert read_dialogue(dialogue(scene_id="../../x")).folder_name == "X"


# The engine's timeline --------------------------------------------------------------------------


class Engine:
    """The route that takes clips, as the engine has it."""

    def __init__(self, status=200, token=None, last=99):
        self.status, self.token, self.last = status, token, last
        self.clips = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/video-editor/projects/p%201/tracks/t1/clips".replace(
            "%20", " "
        )
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return httpx.Response(401, json={"detail": "Not authenticated"})
        if self.status >= 400 or len(self.clips) == self.last:
            return httpx.Response(max(self.status, 500), json={"detail": "no"})
        body = json.loads(request.content)
        start = body.get("startTime", 0.0)
        clip = {
            "id": f"clip-{len(self.clips)}",
            "type": body.get("type", "video"),
            "start_time": start,
            "end_time": start + body.get("duration", 5.0),
            "name": body.get("name", "Untitled"),
            "file_path": body.get("file_path"),
        }
        self.clips.append(clip)
        return httpx.Response(200, json=clip)


async def test_clips_are_posted_as_the_engines_route_reads_them(dialogue, settings):
    scene = await speak_scene(dialogue(), config=settings())
    engine = Engine(token="abc")
    transport = httpx.MockTransport(engine)
    ids = await post_clips(
        "http://engine", "p 1", "t1", scene.clips, token="abc", transport=transport
    )
    assert ids == ["clip-0", "clip-1", "clip-2"]
    for ours, theirs in zip(scene.clips, engine.clips, strict=True):
        assert theirs["end_time"] == pytest.approx(ours["end_time"], abs=1e-5)
        same = ("type", "start_time", "name", "file_path")
        assert [theirs[key] for key in same] == [ours[key] for key in same]


CLIPS = [
    {"name": "a", "start_time": 0.0, "source_end": 1.0},
    {"name": "b", "start_time": 1.5, "source_end": 1.0},
]


@pytest.mark.parametrize(
    ("engine", "error", "said"),
    [
        (Engine(token="other"), AuthenticationFailed, "HTTP 401"),
        (Engine(last=1), BackendUnavailable, "1 of 2 clips were added"),
        (
            lambda _: httpx.Response(404, json={"detail": "Track not found"}),
            InvalidRequest,
            "Track",
        ),
        (lambda _: httpx.Response(200, text="<html>"), BackendUnavailable, "is not StoryCore"),
    ],
)
async def test_what_an_engine_refuses_is_a_typed_error(engine, error, said):
    with pytest.raises(error, match=said):
        await post_clips("http://engine", "p 1", "t1", CLIPS, transport=httpx.MockTransport(engine))


async def test_an_engine_that_is_not_there_is_unavailable_and_no_address_is_refused():
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await post_clips("http://127.0.0.1:9", "p 1", "t1", CLIPS)
    for wrong in ("engine", "ftp://engine"):
        with pytest.raises(InvalidRequest, match="not a valid URL"):
            await post_clips(wrong, "p 1", "t1", CLIPS)


async def test_a_cancelled_scene_stops_speaking_and_keeps_what_it_had(
    dialogue, settings, standin_comfyui_factory, tmp_path
):
    server = standin_comfyui_factory()
    file = settings(backend="comfyui", comfyui_url=server.url)
    running = asyncio.ensure_future(speak_scene(dialogue(), config=file, concurrency=1))
    await asyncio.to_thread(server.log.wait_for, Submitted)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not (tmp_path / "output" / "S02" / "scene.json").exists()
