"""The service over one adapter, and the container that wires the two."""

from dataclasses import replace

import numpy as np
import pytest
from dependency_injector import providers
from dependency_injector.errors import Error as InjectionError

from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.container import Container, make_adapter, open_tts
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.voice_ids import VoiceChoice
from storycore_tts.domain.voices import Speaker
from storycore_tts.errors import (
    BackendUnavailable,
    ConfigurationError,
    GenerationFailed,
    InvalidRequest,
    UnsupportedByBackend,
)
from storycore_tts.ports import Adapter, BackendStatus, Capabilities
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.settings import QwenTTSConfig

HELLO = SpeechRequest("Hello.", "Ryan")
CLONE = CloneRequest("Hello.", ReferenceAudio(np.ones(24_000, np.float32), transcript="Ah."))
TRAINING = TrainingRequest("/data", "/out", "mia")


@pytest.fixture
def service(fake):
    defaults = Defaults("Serena", "French", Sampling(seed=5, top_k=3))
    return TextToSpeech(fake, name="fake", defaults=defaults)


async def test_a_line_takes_the_defaults(service, fake):
    await service.say("Bonjour.")
    assert fake.requests == [
        SpeechRequest("Bonjour.", "Serena", language="French", sampling=Sampling(seed=5, top_k=3))
    ]


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"speaker": "Eric"}, "speaker", "Eric"),
        ({"language": "de"}, "language", "German"),
        ({"instruct": "Calm."}, "instruct", "Calm."),
        ({"checkpoint": "/models/mia", "speaker": "mia"}, "checkpoint", "/models/mia"),
        ({"sampling": Sampling()}, "sampling", Sampling()),
    ],
)
async def test_what_the_caller_says_wins_over_the_defaults(service, fake, given, name, value):
    await service.say("Bonjour.", **given)
    assert getattr(fake.requests[0], name) == value


@pytest.mark.parametrize(("configured", "given"), [(True, None), (False, True)])
async def test_markup_is_left_out_as_configured_or_as_asked(fake, configured, given):
    service = TextToSpeech(fake, name="fake", defaults=Defaults(strip_markup=configured))
    speech = await service.say("**Run** [laugh]!", strip_markup=given)
    assert (fake.requests[0].text, speech.warnings) == ("Run !", ())


async def test_markup_that_stays_is_named_whatever_speaks(service):
    for speech in (
        await service.say("**Run**"),
        await service.clone(replace(CLONE, text="**Run**", consent="Mine.")),
    ):
        assert speech.warnings == (
            "the voice may read “**” aloud; strip_markup (--strip-markup) removes it",
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"speaker": ""}, "speaker"),
        ({"language": ""}, "language"),
        # The node pack takes the stock model where it finds no checkpoint: that has our voice.
        ({"checkpoint": "/models/mia"}, "name of its speaker"),
    ],
)
async def test_an_empty_value_or_a_checkpoints_speaker_is_never_a_default(
    service, fake, given, said
):
    with pytest.raises(InvalidRequest, match=said):
        await service.say("Bonjour.", **given)
    assert fake.requests == []


@pytest.mark.parametrize(
    ("call", "request_"), [("synthesize", HELLO), ("clone", CLONE), ("train", TRAINING)]
)
async def test_requests_and_listeners_reach_the_adapter_as_they_are(service, fake, call, request_):
    heard, fake.told = [], [Progress(Stage.GENERATING, 1.0)]
    await getattr(service, call)(request_, on_progress=heard.append)
    assert fake.requests[0] is request_
    assert heard == fake.told


async def test_the_rest_comes_from_the_adapter(service, fake):
    assert service.backend == "fake"
    assert service.capabilities is fake.capabilities
    assert await service.speakers() == [Speaker("Ryan")]
    assert await service.status() == BackendStatus("fake", True)
    await service.aclose()
    assert fake.closed == 1


class Mute:
    """An adapter without any port."""

    status = aclose = None


@pytest.mark.parametrize(
    ("call", "arguments", "what"),
    [
        ("synthesize", [HELLO], "speak"),
        ("say", ["Hello."], "speak"),
        ("speakers", [], "speak"),
        ("clone", [CLONE], "clone voices"),
        ("train", [TRAINING], "train voices"),
    ],
)
async def test_a_port_that_is_not_there_or_not_offered_is_unsupported(fake, call, arguments, what):
    mute, fake.capabilities = Mute(), Capabilities()
    mute.capabilities = Capabilities(speech=True, cloning=True, training=True)
    for adapter in (mute, fake):
        service = TextToSpeech(adapter, name="mute", defaults=Defaults())
        with pytest.raises(UnsupportedByBackend, match=f"backend 'mute' cannot {what}") as caught:
            await getattr(service, call)(*arguments)
        assert caught.value.backend == "mute"
        assert "comfyui" in caught.value.hint
    assert fake.requests == []


async def test_the_container_wires_settings_defaults_and_adapter(fake):
    config = QwenTTSConfig(
        backend="draft", default_speaker="Eric", default_language="ja", generation={"top_k": 4}
    )
    container, other = Container(config=config), Container(config=config)
    service = container.service()
    assert isinstance(container.adapter(), Adapter)
    assert service is container.service()
    assert service.backend == "draft"
    usual = Defaults("Eric", "Japanese", Sampling(top_k=4), service.defaults.voice_map)
    assert service.defaults == usual
    assert usual.voice_map["fr-FR-Denise"] == VoiceChoice("Serena", "French")
    for shared in ("service", "shared", "audio_folder"):
        assert getattr(container, shared)() is not getattr(other, shared)()
    third = Container(config=config)
    with third.adapter.override(providers.Object(fake)):
        await third.service().say("Hello.")
    assert fake.requests[0].speaker == "Eric"


def test_a_container_without_settings_is_refused():
    with pytest.raises(InjectionError):
        Container().service()
    with pytest.raises(InjectionError):
        Container(config={"backend": "draft"}).service()


def test_our_adapters_are_found_by_name_and_one_of_nobody_is_a_configuration_error():
    assert isinstance(make_adapter("draft", QwenTTSConfig()), DraftAdapter)
    assert isinstance(make_adapter("comfyui", QwenTTSConfig()), ComfyUIAdapter)
    with pytest.raises(ConfigurationError, match="No adapter named 'nobody'") as caught:
        make_adapter("nobody", QwenTTSConfig())
    assert (caught.value.key, caught.value.value) == ("tts.qwen.backend", "nobody")
    assert "pip install storycore-tts" in caught.value.hint


@pytest.mark.parametrize(
    ("package", "install"),
    [("storycore-tts", "'storycore-tts[direct]'"), ("storycore-tts-acme", "storycore-tts-acme")],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    tmp_path, monkeypatch, package, install
):
    metadata = tmp_path / "theirs-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    points = "[storycore_tts.adapters]\ndirect = a_package_that_nobody_has:create\n"
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    config = QwenTTSConfig.model_construct(backend="direct")
    with pytest.raises(BackendUnavailable, match="a_package_that_nobody_has") as caught:
        make_adapter("direct", config)
    assert caught.value.hint == f"pip install {install}"
    assert (caught.value.backend, caught.value.retryable) == ("direct", False)


@pytest.fixture
def opened(fake):
    with Container.adapter.override(providers.Object(fake)):
        yield fake


@pytest.mark.parametrize("error", [GenerationFailed("No."), ValueError("x"), KeyboardInterrupt()])
async def test_open_tts_closes_the_adapter_after_an_error_too(opened, error):
    with pytest.raises(type(error)) as caught:
        async with open_tts(QwenTTSConfig()):
            raise error
    assert caught.value is error
    assert opened.closed == 1


async def test_open_tts_reads_a_file_or_looks_in_the_usual_places_and_closes(
    opened, file, tmp_path, monkeypatch
):
    path = file(default_speaker="Sohee")
    for named in (path, str(path)):
        async with open_tts(named) as tts:
            assert tts.defaults.speaker == "Sohee"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STORYCORE_TTS_CONFIG", raising=False)
    path.rename("storycore-tts.yaml")
    async with open_tts() as tts:
        await tts.say("Hello.")
        assert opened.closed == 2
    assert opened.closed == 3
    assert opened.requests[0].speaker == "Sohee"
    with pytest.raises(ConfigurationError, match="nobody"):
        async with open_tts(file(backend="nobody")):
            pytest.fail("opened")
    assert opened.closed == 3
