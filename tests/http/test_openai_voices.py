"""Voices that are kept by name, as OpenAI's package and vLLM-Omni's clients keep them."""

import time

import openai
import pytest

from storycore_tts import StoredVoice
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.testing.comfyui import StandInComfyUI

from .serving import node_inputs, on_comfyui, serving
from .sounds import decoded, recording

LINE = "Good evening, and welcome."
NAMES = ["Old Mia", "贞贞", "a.b-c_d"]


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI(checkpoints={"/voices/hero": ["hero"]}) as server:
        yield server


@pytest.fixture(scope="module")
def url(comfyui, folder):
    with serving(on_comfyui(folder, comfyui.url)) as url:
        yield url


@pytest.fixture(autouse=True)
def library(folder):
    """The voices on disk; none is left over."""
    library = VoiceLibrary(folder / "voices")
    yield library
    for entry in library.entries():
        library.remove(entry.name)


def kept(client, name, **more):
    return client.audio.voices.create(
        audio_sample=("mia.wav", recording(), "audio/wav"),
        consent="Mia herself, 2026-03-02",
        name=name,
        extra_body=more or None,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_voice_comes_speaks_and_goes(client, http, comfyui, name):
    before = int(time.time())
    voice = kept(client, name, ref_text="La la la.")
    assert (voice.id, voice.name) == (name, name)
    assert (voice.object, voice.type) == ("audio.voice", "audio_sample")
    assert before <= voice.created_at <= time.time()

    said = client.audio.speech.create(
        model="qwen3-tts", voice={"id": name}, input=LINE, response_format="wav", instructions="sad"
    )
    assert decoded(said.read(), "wav").heard > 0.5
    assert said.response.headers["speech-ignored"] == '["instructions"]'
    assert node_inputs(comfyui)["ref_text"] == "La la la."

    said = http.post("/ai/tts/qwen/generate", json={"text": LINE, "speaker": name})
    assert said.status_code == 200, said.text
    assert node_inputs(comfyui)["target_text"] == LINE

    gone = client.audio.voices.delete(name)
    assert (gone.id, gone.deleted, gone.object) == (name, True, "audio.voice.deleted")
    with pytest.raises(openai.NotFoundError, match="voice"):
        client.audio.voices.delete(name)
    with pytest.raises(openai.BadRequestError):
        client.audio.speech.create(model="qwen3-tts", voice=name, input=LINE)


def test_vllm_omni_spells_it_so(http):
    form = {"name": "Mia", "consent": "cons_1", "ref_text": "La la la."}
    files = {"audio_sample": ("mia.wav", recording(), "audio/wav")}
    made = http.post("/v1/audio/voices", data=form, files=files)
    assert made.status_code == 201, made.text
    answer = made.json()
    assert answer["success"] is True
    assert answer["voice"]["name"] == "Mia"

    listed = http.get("/v1/audio/voices").json()
    assert {"Ryan", "Serena", "Mia"} <= {voice["id"] for voice in listed["voices"]}
    (uploaded,) = listed["uploaded_voices"]
    assert uploaded == answer["voice"]
    assert uploaded == {
        "name": "Mia",
        "consent": "cons_1",
        "created_at": answer["created_at"],
        "mime_type": "audio/wav",
        "ref_text": "La la la.",
    }

    gone = http.delete("/v1/audio/voices/Mia").json()
    assert gone["success"] is True
    assert "Mia" in gone["message"]
    assert http.get("/v1/audio/voices").json()["uploaded_voices"] == []


def test_without_its_words_a_voice_gives_its_timbre_only(client, http, comfyui):
    kept(client, "Mia")
    (uploaded,) = http.get("/v1/audio/voices").json()["uploaded_voices"]
    assert "ref_text" not in uploaded
    client.audio.speech.create(model="qwen3-tts", voice="mia", input=LINE)
    assert node_inputs(comfyui)["x_vector_only"] is True


def test_a_stored_checkpoint_is_listed_and_speaks(client, http, library):
    library.add(StoredVoice("My Hero", checkpoint="/voices/hero", speaker="hero"))
    listed = http.get("/v1/audio/voices").json()
    assert "My Hero" in [voice["value"] for voice in listed["voices"]]
    assert listed["uploaded_voices"] == []
    view = next(one for one in listed["data"] if one["id"] == "My Hero")
    assert view["type"] == "checkpoint"
    assert view["created_at"] == pytest.approx(time.time(), abs=60)
    said = client.audio.speech.create(
        model="qwen3-tts", voice="my hero", input=LINE, instructions="boldly", response_format="wav"
    )
    assert decoded(said.read(), "wav").heard > 0.5


def test_a_damaged_voice_hides_no_other(client, http, folder):
    kept(client, "Mia")
    kept(client, "Zoe")
    (damaged,) = (folder / "voices").glob("mia-*/voice.json")
    damaged.write_text("{")
    listed = http.get("/v1/audio/voices").json()
    assert [one["name"] for one in listed["uploaded_voices"]] == ["Zoe"]
    assert client.audio.voices.delete("Mia").deleted


def test_what_makes_no_voice_is_refused(client, http):
    kept(client, "Mia")
    words = {"mia": "already"}
    for name in ("mia", "Ryan", "a/b", "", "x" * 65):
        with pytest.raises(openai.BadRequestError, match=words.get(name)):
            kept(client, name)
    with pytest.raises(openai.NotFoundError):
        client.audio.voices.delete("Ryan")  # a built-in one
    with pytest.raises(openai.BadRequestError):
        client.audio.voices.create(name="Tom", prompt="A warm voice.", type="prompt")

    files = {"audio_sample": ("tom.wav", recording(), "audio/wav")}
    without = http.post("/v1/audio/voices", data={"name": "Tom"}, files=files)
    assert "consent" in without.json()["error"]["param"]
    empty = http.post("/v1/audio/voices", data={"name": "Tom", "consent": ""}, files=files)
    assert (without.status_code, empty.status_code) == (400, 400)
