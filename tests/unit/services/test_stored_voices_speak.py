"""A stored voice is a name like any other for whoever speaks."""

from __future__ import annotations

import numpy as np
import pytest
from dependency_injector import providers

from storycore_tts.container import Container, open_tts
from storycore_tts.domain.errors import (
    ConfigurationError,
    InvalidRequest,
    StorageFailed,
    UnknownSpeaker,
    UnsupportedByBackend,
)
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.domain.voices import Speaker, find_speaker
from storycore_tts.ports import BackendStatus, Capabilities
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.settings import QwenTTSConfig

SAMPLES = np.full(48_000, 0.5, np.float32)
MIA = StoredVoice("Mia", "Mia, today", ReferenceAudio(SAMPLES, 24_000, "Hello there."))
TOM = StoredVoice("Tom", checkpoint="/models/tom", speaker="tom_v2", language="de")
SAMPLING = Sampling(seed=5, top_k=3)


class Fake:
    """An adapter that speaks as Ryan and as Zara, clones, and remembers what it was asked."""

    def __init__(self, **capabilities):
        self.capabilities = Capabilities(**{"speech": True, "cloning": True, **capabilities})
        self.spoken, self.cloned = [], []

    async def synthesize(self, request, *, on_progress=None):
        if request.checkpoint is None:
            find_speaker(request.speaker, ["Ryan", "Zara"], backend="fake")
        self.spoken.append(request)
        return Speech(np.ones(240, np.float32), 24_000, backend="fake", model="m")

    async def speakers(self):
        return [Speaker("Ryan")]

    async def clone(self, request, *, on_progress=None):
        self.cloned.append(request)
        return Speech(np.ones(240, np.float32), 24_000, backend="fake", model="m")

    async def status(self):
        return BackendStatus("fake", True)

    async def aclose(self):
        pass


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def library(tmp_path):
    library = VoiceLibrary(tmp_path / "voices")
    library.add(MIA)
    library.add(TOM)
    return library


@pytest.fixture
def tts(fake, library):
    defaults = Defaults("Ryan", "French", SAMPLING)
    return TextToSpeech(fake, name="fake", defaults=defaults, voices=library)


async def test_a_recording_is_cloned(tts, fake):
    await tts.say("Hello.", speaker="mia", project="film")
    (request,) = fake.cloned
    assert request.reference.samples.tobytes() == SAMPLES.tobytes()
    assert request.reference.transcript == "Hello there."
    assert (request.x_vector_only, request.language) == (False, "French")
    assert (request.sampling, request.project) == (SAMPLING, "film")
    assert fake.spoken == []


async def test_a_checkpoint_speaks(tts, fake):
    await tts.say("Hallo.", speaker="TOM", instruct="Slowly.")
    assert fake.spoken == [
        SpeechRequest(
            "Hallo.",
            "tom_v2",
            checkpoint="/models/tom",
            language="German",
            instruct="Slowly.",
            sampling=SAMPLING,
        )
    ]


async def test_what_a_line_says_wins_over_what_the_voice_says(tts, fake):
    await tts.say("Hello.", speaker="Tom", language="en", sampling=Sampling(seed=1))
    assert (fake.spoken[0].language, fake.spoken[0].sampling.seed) == ("English", 1)


async def test_the_default_speaker_may_be_a_stored_voice(tts, fake):
    tts.defaults = Defaults("Tom")
    await tts.say("Hello.")
    assert fake.spoken[0].checkpoint == "/models/tom"


async def test_a_clone_is_not_told_how_to_speak(tts, fake):
    with pytest.raises(InvalidRequest, match=r"'Mia' is cloned .* takes no instruct"):
        await tts.say("Hello.", speaker="Mia", instruct="Warm.")
    assert fake.cloned == []


async def test_a_backend_that_cannot_clone_says_so(library):
    tts = TextToSpeech(Fake(cloning=False), name="fake", defaults=Defaults(), voices=library)
    with pytest.raises(UnsupportedByBackend, match="cannot clone"):
        await tts.say("Hello.", speaker="Mia")


async def test_built_in_voices_are_found_without_a_look_at_the_disk(fake, tmp_path):
    (tmp_path / "voices").write_text("No folder.")
    tts = TextToSpeech(
        fake, name="fake", defaults=Defaults(), voices=VoiceLibrary(tmp_path / "voices")
    )
    await tts.say("Hello.", speaker=" ryan ")
    assert fake.spoken[0].speaker == "ryan"
    with pytest.raises(StorageFailed, match="Cannot read the voice 'Mia'"):
        await tts.say("Hello.", speaker="Mia")


async def test_a_checkpoint_that_is_named_is_not_looked_up(tts, fake):
    await tts.say("Hello.", speaker="Mia", checkpoint="/models/other")
    assert (fake.spoken[0].speaker, fake.spoken[0].checkpoint) == ("Mia", "/models/other")


async def test_a_voice_that_only_the_backend_has_is_its_own(tts, fake):
    await tts.say("Hello.", speaker="Zara")
    assert fake.spoken[0].speaker == "Zara"


async def test_a_name_that_nobody_has_lists_both_kinds(tts):
    with pytest.raises(UnknownSpeaker, match="no speaker 'Mai'") as caught:
        await tts.say("Hello.", speaker="Mai")
    assert caught.value.hint == "Speakers there: Ryan, Zara. Stored voices: Mia, Tom."


@pytest.mark.parametrize("speaker", ["", "a\nb", 5, "[bold]Nobody", "../Mia"])
async def test_a_name_that_cannot_be_one_is_refused_as_ever(tts, speaker):
    with pytest.raises(InvalidRequest):
        await tts.say("Hello.", speaker=speaker)


async def test_a_damaged_voice_is_no_unknown_one(tts, fake, library):
    for file in library.folder.glob("mia-*/reference.wav"):
        file.write_bytes(b"RIFF")
    with pytest.raises(StorageFailed, match="stored voice 'Mia' is damaged"):
        await tts.say("Hello.", speaker="Mia")
    assert fake.cloned == []


async def test_a_request_may_be_made_without_speaking(tts, fake):
    requests = [await tts.request_for("Hi.", speaker=name) for name in ("Mia", "Tom", "Ryan")]
    assert [type(request) for request in requests] == [CloneRequest, SpeechRequest, SpeechRequest]
    assert fake.spoken == fake.cloned == []
    for request in requests:
        await tts.speak(request)
    assert (len(fake.cloned), len(fake.spoken)) == (1, 2)


async def test_the_library_of_the_service_is_that_of_the_settings(fake, tmp_path):
    config = QwenTTSConfig(voices_dir=str(tmp_path / "mine"))
    container = Container(config=config)
    with Container.adapter.override(providers.Object(fake)):
        assert container.voices() is container.service().voices is container.voices()
        assert container.voices().folder == tmp_path / "mine"
        assert Container(config=config).voices() is not container.voices()


async def test_an_application_may_bring_its_own_library(fake, library):
    container = Container(config=QwenTTSConfig())
    container.adapter.override(providers.Object(fake))
    container.voices.override(providers.Object(library))
    await container.service().say("Hello.", speaker="Tom")
    assert fake.spoken[0].checkpoint == "/models/tom"


@pytest.fixture
def file(tmp_path):
    def write(**settings):
        pairs = ", ".join(f"{key}: {value}" for key, value in settings.items())
        (tmp_path / "tts.yaml").write_text(f"tts: {{qwen: {{{pairs}}}}}")
        return tmp_path / "tts.yaml"

    return write


async def test_another_folder_is_used_when_the_settings_are_read_again(file, tmp_path, library):
    async with open_tts(file(backend="draft", voices_dir=tmp_path / "none")) as tts:
        before = tts.voices
        assert tts.voices.names() == []
        file(backend="draft", voices_dir=tmp_path / "none", default_speaker="Eric")
        await tts.reload()
        assert tts.voices is before
        file(backend="nobody", voices_dir=tmp_path / "voices")
        with pytest.raises(ConfigurationError):
            await tts.reload()
        assert tts.voices is before
        file(backend="draft", voices_dir=tmp_path / "voices")
        await tts.reload()
        assert tts.voices.names() == ["Mia", "Tom"]
        assert isinstance(await tts.request_for("Hi.", speaker="Mia"), CloneRequest)


async def test_another_folder_is_no_reason_to_make_an_adapter_anew(tmp_path):
    made = []
    make = providers.Object(lambda *_: made.append(Fake()) or made[-1])
    with Container.make.override(make):
        async with open_tts(QwenTTSConfig(fallback=None)) as tts:
            await tts.reload(QwenTTSConfig(fallback=None, voices_dir=str(tmp_path)))
            assert tts.voices.folder == tmp_path
    assert len(made) == 1
