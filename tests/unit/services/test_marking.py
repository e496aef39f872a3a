"""What marks generated speech: whole files and streams, and what it tells of the user."""

import io
import logging
from hashlib import sha256

import av
import numpy as np
import pytest

from storycore_tts.container import open_tts
from storycore_tts.domain.consent import ConsentReference
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import InvalidRequest, StorageFailed
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.marking import Marking, MarkingPolicy
from storycore_tts.services.output import AudioFolder
from storycore_tts.services.rendering import JoinableRendering, Rendering
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.speech_service import SpeechService
from storycore_tts.services.takes import speak_lines
from storycore_tts.services.voicing import VoicedRequest
from storycore_tts.sound.tag_reader import read_tags

from .test_takes import planned

HELLO = SpeechRequest("Hello.", "Ryan", job_id="7b1f0f9e-3b0e-4f0e-9d3e-2f6f4cf7a001")


class Records:
    def __init__(self):
        self.kept = []

    def append(self, speech, data_sha256, suffix):
        self.kept.append((speech, data_sha256, suffix))


class Signer:
    def signs(self, suffix):
        return True

    def sign(self, data, suffix, speech, tags):
        return b"signed " + data


class FullDisk:
    def append(self, speech, data_sha256, suffix):
        raise StorageFailed("The disk is full.")


@pytest.fixture
def speaking(fake):
    """Makes a service over an adapter that does everything."""

    def make(marking=None):
        return TextToSpeech(fake, name="fake", defaults=Defaults(), marking=marking)

    return make


def streaming(tts):
    async def no_store():
        raise AssertionError("no jobs here")

    capacity = Capacity("fake", concurrency=1, max_waiting=1)
    return SpeechService({"fake": tts}, {"fake": capacity}, store=no_store, elsewhere=None)


async def streamed(tts, kind="wav", **how):
    pieces = streaming(tts).stream(None, HELLO, Rendering(kind), **how)
    return b"".join([piece.data async for piece in pieces])


async def test_a_file_tells_how_it_was_made_and_nothing_that_is_said_or_by_whom(speaking):
    speech = await speaking().speak(HELLO)
    tags = read_tags(speech.encode())
    assert tags["model"] == "m"
    assert tags["job"] == HELLO.job_id
    assert not {"text", "voice"} & tags.keys()


async def test_text_and_voice_are_told_if_the_settings_say_so(speaking):
    tts = speaking(Marking(MarkingPolicy(publish_text=True, publish_voice=True)))
    tags = read_tags((await tts.speak(HELLO)).encode(".flac"))
    assert (tags["text"], tags["voice"]) == ("Hello.", "Ryan")


def test_a_stored_voice_is_told_by_its_own_name():
    stored = ConsentReference("Mia", "ab" * 16)
    clone = CloneRequest(
        "Hello.",
        ReferenceAudio(np.ones(24_000, np.float32), 24_000),
        x_vector_only=True,
        voice_consent=stored,
    )
    tuned = SpeechRequest("Hello.", "spk_1", checkpoint="c", voice_consent=stored)
    marking = Marking(MarkingPolicy(publish_voice=True))
    for request in (clone, tuned):
        speech = Speech(np.ones(240, np.float32), 24_000, "fake", "m", request=request)
        assert read_tags(marking.encode(speech, ".flac"))["voice"] == "Mia"


@pytest.mark.parametrize(
    ("model", "checkpoint"),
    [("/home/anna/voices/anna", None), (r"C:\voices\anna", None), ("voices/anna", "voices/anna")],
)
def test_a_file_never_tells_of_the_users_folders(model, checkpoint):
    request = SpeechRequest("Hello.", "anna", checkpoint=checkpoint)
    speech = Speech(np.ones(240, np.float32), 24_000, "fake", model, request=request)
    for marker in (None, Marking()):
        data = Speech(**{**vars(speech), "marker": marker}).encode()
        assert read_tags(data)["model"] == "custom"
        assert b"anna" not in data


async def test_another_pace_pitch_and_rate_leave_the_mark(speaking, tmp_path):
    records = Records()
    speech = await speaking(Marking(records=records)).speak(HELLO)
    for changed in (speech.stretched(2), speech.pitched(3)):
        assert read_tags(changed.encode())["job"] == HELLO.job_id
    asked = VoicedRequest(HELLO, "Ryan")
    folder, tts = AudioFolder(tmp_path), speaking(Marking(records=records))
    result = await folder.speak(tts, asked, tmp_path / "line.wav", stem="x", sample_rate=16_000)
    assert read_tags(result.audio_path.read_bytes())["job"] == HELLO.job_id
    assert [kept[0].request for kept in records.kept] == [HELLO] * 3


async def test_joinable_files_pass_the_same_door(speaking):
    records = Records()
    speech = await speaking(Marking(records=records)).speak(HELLO)
    data = JoinableRendering("mp3").encode(speech)
    assert read_tags(data)["job"] == HELLO.job_id
    assert [kept[1:] for kept in records.kept] == [(sha256(data).hexdigest(), ".mp3")]


async def test_joinable_mp3s_are_not_signed(speaking):
    speech = await speaking(Marking(signer=Signer())).speak(HELLO)
    signed = {kind: JoinableRendering(kind).encode(speech)[:6] for kind in ("wav", "mp3")}
    assert signed["wav"] == b"signed"
    assert signed["mp3"][:3] == b"ID3"
    assert speech.encode(".mp3")[:6] == b"signed"


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "opus", "aac"])
async def test_a_stream_is_marked_from_its_first_chunk_and_recorded_at_its_end(speaking, kind):
    records = Records()
    data = await streamed(speaking(Marking(records=records)), kind)
    tags = read_tags(data)
    assert tags["digitalsourcetype"].endswith("/trainedAlgorithmicMedia")
    assert tags["job"] == HELLO.job_id
    ((speech, digest, suffix),) = records.kept
    assert (speech.request, digest, suffix) == (HELLO, sha256(data).hexdigest(), f".{kind}")


async def test_a_bare_wav_has_the_header_that_some_clients_cut_off(speaking):
    records = Records()
    data = await streamed(speaking(Marking(records=records)), bare_wav=True)
    assert data[36:40] == b"data"
    assert records.kept[0][1] == sha256(data).hexdigest()
    assert read_tags(await streamed(speaking(), "mp3", bare_wav=True))["job"] == HELLO.job_id


async def test_a_stream_that_is_left_is_not_recorded(speaking):
    records = Records()
    pieces = streaming(speaking(Marking(records=records))).stream(None, HELLO, Rendering("pcm"))
    await anext(pieces)
    await pieces.aclose()
    assert records.kept == []


async def test_a_stream_without_its_record_does_not_end_well_if_one_is_required(speaking):
    policy = MarkingPolicy(require_record=True)
    with pytest.raises(StorageFailed):
        await streamed(speaking(Marking(policy, records=FullDisk())), "mp3")
    assert await streamed(speaking(Marking(records=FullDisk())), "mp3")


async def test_a_format_that_does_not_stream_is_refused_before_anything_is_spoken(speaking, fake):
    for kind in ("ogg", "m4a"):
        with pytest.raises(InvalidRequest, match="cannot be streamed"):
            await streamed(speaking(), kind)
    assert fake.requests == []


@pytest.mark.parametrize("kind", ["wav", "mp3", "aac", "flac"])
async def test_with_marking_off_nothing_is_written_and_files_play(speaking, kind):
    tts = speaking(Marking(MarkingPolicy(enabled=False)))
    speech = await tts.speak(HELLO)
    for data in (speech.encode(f".{kind}"), await streamed(tts, kind)):
        assert b"igital" not in data
        with av.open(io.BytesIO(data)) as file:
            assert next(file.decode(audio=0)).samples


async def test_a_reason_for_no_marks_is_logged_when_a_service_opens_and_reloads(file, caplog):
    def reasons():
        found = [r.fields["reason"] for r in caplog.records if r.msg and _event(r)]
        caplog.clear()
        return found

    caplog.set_level(logging.WARNING)
    off = {"backend": "draft", "marking": "{off_because: the mix is marked}"}
    async with open_tts(file(**off)) as tts:
        assert reasons() == ["the mix is marked"]
        assert not tts.marking.policy.enabled
        await tts.reload()
        assert reasons() == ["the mix is marked"]
        file(backend="draft")
        await tts.reload()
        assert reasons() == []
        assert tts.marking.policy.enabled


def _event(record):
    return getattr(record, "event", "") == "marking.off"


async def test_a_take_is_not_spoken_again_because_its_file_has_no_tags(speaking, fake, tmp_path):
    async def takes(marking):
        script, lines = planned("One.", "Two.")
        return await speak_lines(speaking(marking), script, lines, tmp_path, model="1.7B")

    before = await takes(Marking(MarkingPolicy(enabled=False)))
    after = await takes(Marking())
    assert len(fake.requests) == 2
    assert [take.is_new for take in before + after] == [True, True, False, False]
