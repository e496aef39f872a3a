"""A stored voice is a name like any other for whoever speaks."""

from __future__ import annotations

import numpy as np
import pytest
from dependency_injector import providers

from storycore_tts.container import Container, open_tts
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.domain.voice_ids import VoiceChoice
from storycore_tts.errors import (
    ConfigurationError,
    InvalidRequest,
    StorageFailed,
    UnknownSpeaker,
    UnsupportedByBackend,
)
from storycore_tts.ports import Capabilities
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.settings import QwenTTSConfig

SAMPLES = np.full(48_000, 0.5, np.float32)
MIA = StoredVoice("Mia", "Mia, today", ReferenceAudio(SAMPLES, 24_000, "Hello there."))
TOM = StoredVoice("Tom", checkpoint="/models/tom", speaker="tom_v2", language="de")
SAMPLING = Sampling(seed=5, top_k=3)


@pytest.fixture
def library(tmp_path):
    library = VoiceLibrary(tmp_path / "voices")
    library.add(MIA)
    library.add(TOM)
    return library


@pytest.fixture
def tts(fake, library):
    fake.knows = ["Ryan", "Zara"]
    defaults = Defaults("Ryan", "French", SAMPLING)
    return TextToSpeech(fake, name="fake", defaults=defaults, voices=library)


async def test_a_recording_is_cloned(tts, fake):
    await tts.say("Hello.", speaker="mia", project="film")
    (request,) = fake.requests
    assert isinstance(request, CloneRequest)
    assert request.reference.samples.tobytes() == SAMPLES.tobytes()
    assert request.reference.transcript == "Hello there."
    assert (request.x_vector_only, request.language) == (False, "French")
    assert (request.sampling, request.project) == (SAMPLING, "film")
    with pytest.raises(InvalidRequest, match=r"'Mia' is cloned .* takes no instruct"):
        await tts.say("Hello.", speaker="Mia", instruct="Warm.")
    assert len(fake.requests) == 1


async def test_a_line_that_names_no_project_and_no_purpose_has_those_of_the_settings(tts, fake):
    tts.defaults = Defaults("Mia", "French", project="harbour", purpose="film")
    await tts.say("Hello.")
    await tts.say("Hello.", project="island", purpose="trailer")
    said = [(request.project, request.purpose) for request in fake.requests]
    assert said == [("harbour", "film"), ("island", "trailer")]


async def test_a_checkpoint_speaks_and_what_a_line_says_wins(tts, fake):
    await tts.say("Hallo.", speaker="TOM", instruct="Slowly.")
    mine = {"checkpoint": "/models/tom", "language": "German"}
    assert fake.requests == [
        SpeechRequest("Hallo.", "tom_v2", **mine, instruct="Slowly.", sampling=SAMPLING)
    ]
    await tts.say("Hello.", speaker="Tom", language="en", sampling=Sampling(seed=1))
    assert (fake.requests[1].language, fake.requests[1].sampling.seed) == ("English", 1)
    tts.defaults = Defaults("Tom")
    await tts.say("Hello.")
    assert fake.requests[2].checkpoint == "/models/tom"


async def test_a_mapped_id_speaks_in_its_voice_unless_a_stored_one_has_its_name(tts, fake):
    mapped = {"alloy": VoiceChoice("Zara", "Italian"), "nova": VoiceChoice("Tom"),
              "mia": VoiceChoice("Ryan"), "Ryan": VoiceChoice("Zara")}  # fmt: skip
    tts.defaults = Defaults("alloy", "French", voice_map=mapped)
    for name in (None, " ALLOY", "Nova", "Mia", "ryan"):
        await tts.say("Hello.", speaker=name)
    usual, alloy, nova, mia, ryan = fake.requests
    assert (usual.speaker, usual.language) == (alloy.speaker, alloy.language) == ("Zara", "Italian")
    assert (nova.checkpoint, nova.language) == ("/models/tom", "German")
    assert isinstance(mia, CloneRequest)
    assert ryan.speaker == "ryan"


async def test_a_backend_that_cannot_clone_says_so(tts, fake):
    fake.capabilities = Capabilities(speech=True)
    with pytest.raises(UnsupportedByBackend, match="cannot clone"):
        await tts.say("Hello.", speaker="Mia")


async def test_built_in_voices_are_found_without_a_look_at_the_disk(fake, tmp_path):
    (tmp_path / "file").write_text("No folder.")
    voices = VoiceLibrary(tmp_path / "file")
    tts = TextToSpeech(fake, name="fake", defaults=Defaults(), voices=voices)
    await tts.say("Hello.", speaker=" ryan ")
    assert fake.requests[0].speaker == "ryan"
    with pytest.raises(StorageFailed, match="Cannot read the voice 'Mia'"):
        await tts.say("Hello.", speaker="Mia")


async def test_voices_of_the_backend_and_of_checkpoints_are_not_looked_up(tts, fake):
    await tts.say("Hello.", speaker="Mia", checkpoint="/models/other")
    assert (fake.requests[0].speaker, fake.requests[0].checkpoint) == ("Mia", "/models/other")
    await tts.say("Hello.", speaker="Zara")
    assert fake.requests[1].speaker == "Zara"


async def test_a_name_that_nobody_has_lists_both_kinds(tts):
    with pytest.raises(UnknownSpeaker, match="no speaker 'Mai'") as caught:
        await tts.say("Hello.", speaker="Mai")
    assert caught.value.hint == "Available speakers: Ryan, Zara. Stored voices: Mia, Tom."
    for impossible in ("", "a\nb", 5, "[bold]Nobody", "../Mia"):
        with pytest.raises(InvalidRequest):
            await tts.say("Hello.", speaker=impossible)


async def test_a_damaged_voice_is_no_unknown_one(tts, fake, library):
    for file in library.folder.glob("mia-*/reference.wav"):
        file.write_bytes(b"RIFF")
    with pytest.raises(StorageFailed, match="stored voice 'Mia' is damaged"):
        await tts.say("Hello.", speaker="Mia")
    assert fake.requests == []


async def test_a_request_may_be_made_without_speaking(tts, fake):
    requests = [await tts.request_for("Hi.", speaker=name) for name in ("Mia", "Tom", "Ryan")]
    assert fake.requests == []
    for request in requests:
        await tts.speak(request)
    assert fake.requests == requests


async def test_the_library_of_the_service_is_that_of_the_settings_or_the_applications_own(
    fake, library, tmp_path
):
    config = QwenTTSConfig(voices_dir=str(tmp_path / "mine"))
    with Container.adapter.override(providers.Object(fake)):
        container, other = Container(config=config), Container(config=config)
        assert container.voices() is container.service().voices is container.voices()
        assert container.voices().folder == tmp_path / "mine"
        assert other.voices() is not container.voices()
        own = Container(config=config)
        own.voices.override(providers.Object(library))
        await own.service().say("Hello.", speaker="Tom")
    assert fake.requests[0].checkpoint == "/models/tom"


async def test_another_folder_is_used_when_the_settings_are_read_again(
    fake, file, tmp_path, library
):
    made = []
    make = providers.Object(lambda *_: made.append(fake) or fake)
    with Container.make.override(make):
        async with open_tts(file(fallback="none", voices_dir=tmp_path / "none")) as tts:
            before = tts.voices
            assert tts.voices.names() == []
            file(fallback="none", voices_dir=tmp_path / "none", default_speaker="Eric")
            await tts.reload()
            assert tts.voices is before
            file(backend="nobody", voices_dir=tmp_path / "voices")
            with pytest.raises(ConfigurationError):
                await tts.reload()
            assert tts.voices is before
            file(fallback="none", voices_dir=tmp_path / "voices")
            await tts.reload()
            assert tts.voices.names() == ["Mia", "Tom"]
            assert isinstance(await tts.request_for("Hi.", speaker="Mia"), CloneRequest)
    assert len(made) == 1  # another folder is no reason to make an adapter anew
