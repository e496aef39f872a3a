"""The service over one adapter, and the container that wires the two."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
from dependency_injector import providers
from dependency_injector.errors import Error as InjectionError

from storycore_tts import container as module
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.container import Container, make_adapter, open_tts
from storycore_tts.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    GenerationFailed,
    InvalidRequest,
    UnsupportedByBackend,
)
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.domain.voices import Speaker
from storycore_tts.ports import Adapter, BackendStatus, Capabilities, SpeechSynthesizer
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.settings import QwenTTSConfig

HELLO = SpeechRequest("Hello.", "Ryan")
CLONE = CloneRequest("Hello.", ReferenceAudio(np.ones(24_000, np.float32), transcript="Ah."))
TRAINING = TrainingRequest("/data", "/out", "mia")


class Fake:
    """An adapter that does everything and remembers what it was asked."""

    capabilities = Capabilities(speech=True, cloning=True, training=True)

    def __init__(self):
        self.requests = []
        self.closed = 0

    async def synthesize(self, request, *, on_progress=None):
        self.requests.append(request)
        if on_progress is not None:
            on_progress(Progress(Stage.GENERATING, 1.0))
        return Speech(np.ones(240, np.float32), 24_000, backend="fake", model="m")

    async def speakers(self):
        return [Speaker("Mia")]

    async def clone(self, request, *, on_progress=None):
        return await self.synthesize(request, on_progress=on_progress)

    async def train(self, request, *, on_progress=None):
        await self.synthesize(request, on_progress=on_progress)
        return TrainedVoice("/out/checkpoint", "mia", 10, (), "fake")

    async def status(self):
        return BackendStatus("fake", True)

    async def aclose(self):
        self.closed += 1


class Mute:
    """An adapter without any port, whatever it says of itself."""

    def __init__(self, **capabilities):
        self.capabilities = Capabilities(**capabilities)

    async def status(self):
        return BackendStatus("mute", True)

    async def aclose(self):
        pass


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def service(fake):
    defaults = Defaults("Serena", "French", Sampling(seed=5, top_k=3))
    return TextToSpeech(fake, name="fake", defaults=defaults)


async def test_a_line_takes_the_defaults(service, fake):
    speech = await service.say("Bonjour.")
    assert speech.backend == "fake"
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


async def test_a_checkpoint_is_not_asked_for_the_configured_voice(service, fake):
    # The node pack takes the stock model where it finds no checkpoint, and that has this voice.
    with pytest.raises(InvalidRequest, match="name of its speaker"):
        await service.say("Bonjour.", checkpoint="/models/mia")
    assert fake.requests == []


@pytest.mark.parametrize("given", [{"speaker": ""}, {"language": ""}])
async def test_an_empty_value_is_refused_and_never_replaced_by_a_default(service, fake, given):
    with pytest.raises(InvalidRequest):
        await service.say("Bonjour.", **given)
    assert fake.requests == []


@pytest.mark.parametrize(
    ("call", "request_"), [("synthesize", HELLO), ("clone", CLONE), ("train", TRAINING)]
)
async def test_requests_and_listeners_reach_the_adapter_as_they_are(service, fake, call, request_):
    heard = []
    await getattr(service, call)(request_, on_progress=heard.append)
    assert fake.requests == [request_]
    assert fake.requests[0] is request_
    assert heard == [Progress(Stage.GENERATING, 1.0)]


async def test_the_rest_comes_from_the_adapter(service, fake):
    assert service.backend == "fake"
    assert service.capabilities is fake.capabilities
    assert await service.speakers() == [Speaker("Mia")]
    assert await service.status() == BackendStatus("fake", True)
    await service.aclose()
    assert fake.closed == 1


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
@pytest.mark.parametrize("claims", [True, False])
async def test_a_port_that_is_not_there_is_unsupported(call, arguments, what, claims):
    mute = Mute(speech=claims, cloning=claims, training=claims)
    service = TextToSpeech(mute, name="mute", defaults=Defaults())
    with pytest.raises(UnsupportedByBackend, match=f"backend 'mute' cannot {what}") as caught:
        await getattr(service, call)(*arguments)
    assert caught.value.backend == "mute"
    assert "comfyui" in caught.value.hint


async def test_a_port_that_the_adapter_does_not_offer_is_not_used(service, fake):
    fake.capabilities = Capabilities(speech=True)
    with pytest.raises(UnsupportedByBackend, match="cannot clone voices"):
        await service.clone(CLONE)
    assert fake.requests == []


def test_the_container_wires_settings_defaults_and_adapter():
    config = QwenTTSConfig(
        backend="draft", default_speaker="Eric", default_language="ja", generation={"top_k": 4}
    )
    container = Container(config=config)
    service = container.service()
    assert isinstance(container.adapter(), Adapter)
    assert not isinstance(Mute(), SpeechSynthesizer)
    assert service is container.service()
    assert service.backend == "draft"
    assert service.defaults == Defaults("Eric", "Japanese", Sampling(top_k=4))


def test_containers_share_nothing():
    first, second = (Container(config=QwenTTSConfig(backend="draft")) for _ in range(2))
    assert first.service() is not second.service()
    assert first.shared() is not second.shared()
    assert first.audio_folder() is not second.audio_folder()


async def test_an_adapter_can_be_put_in_its_place(fake):
    container = Container(config=QwenTTSConfig())
    with container.adapter.override(providers.Object(fake)):
        await container.service().say("Hello.")
    assert fake.requests[0].speaker == "Ryan"


def test_a_container_without_settings_is_refused():
    with pytest.raises(InjectionError):
        Container().service()
    with pytest.raises(InjectionError):
        Container(config={"backend": "draft"}).service()


@pytest.mark.parametrize(("name", "kind"), [("draft", DraftAdapter), ("comfyui", ComfyUIAdapter)])
def test_our_adapters_are_found_by_name(name, kind):
    assert isinstance(make_adapter(name, QwenTTSConfig()), kind)


def test_an_adapter_of_nobody_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="No adapter named 'nobody'") as caught:
        make_adapter("nobody", QwenTTSConfig())
    assert (caught.value.key, caught.value.value) == ("tts.qwen.backend", "nobody")
    assert "pip install storycore-tts" in caught.value.hint


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    point = EntryPoint("direct", "a_package_that_nobody_has:create", "storycore_tts.adapters")
    monkeypatch.setattr(module, "entry_points", lambda group: [point])
    with pytest.raises(BackendUnavailable, match="a_package_that_nobody_has") as caught:
        make_adapter("direct", QwenTTSConfig())
    assert caught.value.hint == "pip install 'storycore-tts[direct]'"
    assert (caught.value.backend, caught.value.retryable) == ("direct", False)


@pytest.fixture
def opened(fake):
    with Container.adapter.override(providers.Object(fake)):
        yield fake


async def test_open_tts_closes_the_adapter_at_the_end(opened):
    async with open_tts(QwenTTSConfig(default_speaker="Eric")) as tts:
        await tts.say("Hello.")
        assert opened.closed == 0
    assert opened.closed == 1
    assert opened.requests[0].speaker == "Eric"


@pytest.mark.parametrize("error", [GenerationFailed("No."), ValueError("x"), KeyboardInterrupt()])
async def test_open_tts_closes_the_adapter_after_an_error_too(opened, error):
    with pytest.raises(type(error)) as caught:
        async with open_tts(QwenTTSConfig()):
            raise error
    assert caught.value is error
    assert opened.closed == 1


async def test_open_tts_reads_a_file(opened, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("tts: {qwen: {default_speaker: Sohee}}")
    async with open_tts(path) as tts:
        assert tts.defaults.speaker == "Sohee"
    async with open_tts(str(path)) as tts:
        assert tts.defaults.speaker == "Sohee"


async def test_open_tts_looks_in_the_usual_places(opened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STORYCORE_TTS_CONFIG", raising=False)
    (tmp_path / "storycore-tts.yaml").write_text("tts: {qwen: {default_speaker: Aiden}}")
    async with open_tts() as tts:
        assert tts.defaults.speaker == "Aiden"


async def test_open_tts_refuses_settings_before_anything_is_opened(opened, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("tts: {qwen: {backend: nobody}}")
    with pytest.raises(ConfigurationError, match="nobody"):
        async with open_tts(path):
            pytest.fail("opened")
    assert opened.closed == 0
