"""Which speech gets a watermark, and what happens if it cannot."""

import subprocess
import sys

import numpy as np
import pytest

from storycore_tts.container import marking_for
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import ConfigurationError, MarkingFailed
from storycore_tts.ports.marking import WatermarkScore
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.marking import Marking, MarkingPolicy
from storycore_tts.services.rendering import RenderedStream, Rendering
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.speech_service import SpeechService
from storycore_tts.settings import QwenTTSConfig, load_config
from storycore_tts.sound.files import decode

MARK = np.float32(-0.25)
SPEECH = Speech(np.zeros(2400, np.float32), 24_000, backend="fake", model="m")
EVERY = MarkingPolicy(watermark_all=True)


class Offset:
    """A watermark that is easy to see: it lowers all samples. Its streams are 100 samples late."""

    def __init__(self):
        self.files = self.streams = 0

    def embed(self, samples, sample_rate):
        self.files += 1
        return samples + MARK

    def stream(self, sample_rate):
        self.streams += 1
        return _Late()

    def detect(self, samples, sample_rate):
        return WatermarkScore("offset", float(samples.max() < 0), bool(samples.max() < 0))


class _Late:
    def __init__(self):
        self.kept = np.zeros(0, np.float32)

    def feed(self, samples):
        joined = np.concatenate([self.kept, samples])
        ready = max(0, len(joined) - 100)
        self.kept = joined[ready:]
        return joined[:ready] + MARK

    def finish(self):
        return self.kept + MARK


class Broken:
    """A watermark that cannot be made."""

    def embed(self, samples, sample_rate):
        raise MarkingFailed("No weights.")

    def stream(self, sample_rate):
        raise MarkingFailed("No weights.")


class Appending:
    """Signs wav files by a word at their end, and remembers what it signed."""

    def signs(self, suffix):
        return suffix == ".wav"

    def sign(self, data, suffix, speech, tags):
        self.signed = data
        return data + b"signed"


def heard(data):
    return float(np.abs(decode(data)[0]).mean())


def pcm(data):
    return np.frombuffer(data, "<i2")


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".pcm"])
def test_what_cannot_be_signed_gets_a_watermark(suffix):
    data = Marking(watermark=Offset()).encode(SPEECH, suffix)
    assert (abs(pcm(data).mean()) / 2**15 if suffix == ".pcm" else heard(data)) > 0.1


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_what_can_be_signed_gets_none_even_without_a_signer(suffix):
    assert heard(Marking(watermark=Offset()).encode(SPEECH, suffix)) < 0.001


def test_all_files_get_one_if_asked_and_the_signature_covers_it():
    signer = Appending()
    data = Marking(EVERY, watermark=Offset(), signer=signer).encode(SPEECH, ".wav")
    assert data.endswith(b"signed")
    assert heard(signer.signed) == pytest.approx(0.25)


def test_the_speech_itself_is_not_changed():
    Marking(EVERY, watermark=Offset()).encode(SPEECH, ".wav")
    assert not SPEECH.samples.any()


def test_marking_that_is_off_is_off_for_files_and_streams():
    watermark = Offset()
    marking = Marking(MarkingPolicy(enabled=False, watermark_all=True), watermark=watermark)
    marking.encode(SPEECH, ".pcm")
    assert marking.watermark_stream(24_000) is None
    assert (watermark.files, watermark.streams) == (0, 0)


def test_a_watermark_that_fails_is_logged_and_the_file_is_made(caplog):
    marking = Marking(EVERY, watermark=Broken())
    assert heard(marking.encode(SPEECH, ".wav")) == 0
    assert marking.watermark_stream(24_000) is None
    assert [record.getMessage().split()[0] for record in caplog.records] == ["marking.failed"] * 2


def test_a_watermark_that_fails_is_an_error_if_marking_is_strict():
    marking = Marking(MarkingPolicy(watermark_all=True, strict=True), watermark=Broken())
    with pytest.raises(MarkingFailed):
        marking.encode(SPEECH, ".wav")
    with pytest.raises(MarkingFailed):
        marking.watermark_stream(24_000)


class Failing:
    """A watermark that fails in a stream: at one of its blocks, or at the end."""

    def __init__(self, at):
        self.at = at

    def stream(self, sample_rate):
        return _Failing(self.at)


class _Failing(_Late):
    def __init__(self, at):
        super().__init__()
        self.left = at

    def feed(self, samples):
        self.left -= 1
        return super().feed(samples) if self.left else self.finish()

    def finish(self):
        raise MarkingFailed("No memory.")


@pytest.mark.parametrize("at", [2, 9])
def test_a_watermark_that_fails_in_a_stream_costs_no_sample_of_it(at, caplog):
    stream = Marking(watermark=Failing(at)).watermark_stream(24_000)
    blocks = [stream.feed(np.zeros(250, np.float32)) for _ in range(3)]
    heard = np.concatenate([*blocks, stream.finish()])
    lost = 600 if at == 2 else 100  # samples without a mark
    assert (len(heard), np.count_nonzero(heard == 0)) == (750, lost)
    assert caplog.text.count("marking.failed") == 1
    strict = Marking(MarkingPolicy(strict=True), watermark=Failing(1)).watermark_stream(24_000)
    with pytest.raises(MarkingFailed):
        strict.feed(np.zeros(250, np.float32))


def test_a_stream_keeps_every_sample():
    stream = RenderedStream(Rendering("pcm"))
    stream.watermark(Marking(watermark=Offset()).watermark_stream(24_000))
    pieces = [stream.feed(np.zeros(270, np.float32)) for _ in range(3)] + [stream.finish()]
    samples = pcm(b"".join(data for data, _ in pieces))
    assert len(samples) == 810
    assert (samples < 0).all()
    assert sum(seconds for _, seconds in pieces) == pytest.approx(810 / 24_000)


async def test_streams_of_the_service_get_a_watermark_in_any_format(fake):
    marking = Marking(watermark=Offset())
    tts = TextToSpeech(fake, name="fake", defaults=Defaults("Ryan"), marking=marking)
    places = {"fake": Capacity("fake", concurrency=1, max_waiting=1)}
    service = SpeechService({"fake": tts}, places, store=None, elsewhere=None)
    pieces = service.stream("fake", SpeechRequest("Hello.", "Ryan"), Rendering("wav"))
    data = b"".join([piece.data async for piece in pieces])
    samples = pcm(data.partition(b"data")[2][4:])
    assert samples / 2**15 == pytest.approx(np.full(240, 0.75), abs=0.001)


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("without_torch")
def test_files_that_shall_all_have_a_watermark_are_not_made_without_the_extra():
    with pytest.raises(ConfigurationError, match=r"pip install 'storycore-tts\[watermark\]'") as e:
        marking_for(QwenTTSConfig(marking={"watermark": "always"}))
    assert e.value.key == "tts.qwen.marking.watermark"


@pytest.mark.usefixtures("without_torch")
def test_without_the_extra_there_is_no_watermark_by_default():
    assert marking_for(QwenTTSConfig()).watermark_stream(24_000) is None


@pytest.mark.usefixtures("without_torch")
def test_nothing_is_needed_where_marking_is_off():
    off = {"off_because": "only rehearsals", "watermark": "always"}
    assert marking_for(QwenTTSConfig(marking=off)).watermark_stream(24_000) is None


def test_off_is_a_word_in_yaml_too(file):
    loaded = load_config(file(marking="{watermark: off}"))
    assert loaded.config.marking.watermark == "off"


def test_torch_is_not_imported_before_the_first_file():
    script = (
        "import sys; from storycore_tts.container import marking_for;"
        "from storycore_tts.settings import QwenTTSConfig;"
        "marking_for(QwenTTSConfig()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
