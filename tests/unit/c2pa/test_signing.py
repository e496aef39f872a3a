"""Signed sound files: what c2pa's own reader and other programs find in them."""

import io
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import c2pa
import numpy as np
import pytest
import soundfile

from storycore_tts.adapters.c2pa.reader import read_manifest
from storycore_tts.adapters.c2pa.signer import C2paSigner
from storycore_tts.domain.disclosure import Notice
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.errors import MarkingFailed
from storycore_tts.services.marking import Marking, MarkingPolicy
from storycore_tts.services.rendering import JoinableRendering
from storycore_tts.sound.files import decode

from .conftest import av_samples

SUFFIXES = [".wav", ".flac", ".mp3", ".m4a"]
UNTRUSTED = ["signingCredential.untrusted"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_c2pas_own_reader_finds_a_valid_signature(signed, suffix):
    with c2pa.Reader(suffix[1:], io.BytesIO(signed(suffix))) as reader:
        store = json.loads(reader.json())
        assert reader.get_validation_state() == "Valid"
    failures = store["validation_results"]["activeManifest"]["failure"]
    assert [failure["code"] for failure in failures] == UNTRUSTED
    manifest = store["manifests"][store["active_manifest"]]
    assert manifest["claim_version"] == 2
    assert manifest["claim_generator_info"][0]["name"] == "storycore-tts"
    labels = {one["label"]: one for one in manifest["assertions"]}
    [action] = labels["c2pa.actions.v2"]["data"]["actions"]
    assert labels["c2pa.actions.v2"]["created"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )
    assert "job=job-7" in action["description"]
    model = {"modelType": "c2pa.types.model", "modelName": "Qwen3-TTS-12Hz-1.7B"}
    assert labels["c2pa.ai-disclosure"]["data"] == model


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_players_hear_the_same_samples_and_see_the_same_tags(
    speech, file_of, tags_of, signed, suffix
):
    plain, data = file_of(suffix, tags_of(speech)), signed(suffix)
    samples, tags = av_samples(plain)
    heard, seen = av_samples(data)
    assert np.array_equal(samples, heard)
    assert seen == tags
    assert seen["comment"].startswith("Synthetic speech.")
    assert np.array_equal(decode(plain)[0], decode(data)[0])
    if suffix != ".m4a":  # libsndfile reads none
        before, after = (soundfile.SoundFile(io.BytesIO(one)) for one in (plain, data))
        assert np.array_equal(before.read(), after.read())
        assert before.copy_metadata() == after.copy_metadata()


def test_a_rule_based_synthesizer_is_no_model(signed, speech):
    manifest = read_manifest(signed(".wav", replace(speech, source_type="algorithmicMedia")))
    assert manifest is not None
    assert manifest.source_type.endswith("/algorithmicMedia")
    assert "c2pa.ai-disclosure" not in manifest.assertions


def test_a_clones_recording_is_named_by_its_hash_only(signed, speech, tone):
    reference = ReferenceAudio(tone(2.0, loudness=0.3), transcript="A secret sentence.")
    manifests = [
        read_manifest(signed(".mp3", replace(speech, request=CloneRequest("Hello.", one))))
        for one in (reference, reference, replace(reference, samples=reference.samples[:-1]))
    ]
    first, again, other = (manifest.ingredients for manifest in manifests)
    assert manifests[0].valid
    assert first == again != other
    assert first[0].startswith("inputTo: Recording of the cloned voice, sha256:")
    assert len(first[0].rpartition(":")[2]) == 64
    assert len(signed(".mp3", replace(speech, request=CloneRequest("Hello.", reference)))) < 30_000


def test_the_recording_of_a_notices_voice_is_named_too(signed, speech, tone):
    sounds = [
        ReferenceAudio(tone(2.0, loudness=loudness), transcript="Hi.") for loudness in (0.3, 0.4)
    ]
    line, notice = (CloneRequest("Hello.", one) for one in sounds)
    for request, count in ((line, 2), (notice, 1), (SpeechRequest("Hello.", "Ryan"), 1)):
        both = replace(speech, request=request, notice=Notice("Made by AI.", 1.0, notice))
        manifest = read_manifest(signed(".wav", both))
        assert manifest.valid
        assert len(manifest.ingredients) == count
        assert any(sounds[1].sha256 in one for one in manifest.ingredients)


@pytest.mark.parametrize("publish", [False, True])
def test_text_and_voice_are_told_only_if_that_is_asked_for(signer, speech, publish):
    spoken = replace(speech, request=SpeechRequest("Meet me at noon.", "Vivian"))
    policy = MarkingPolicy(publish_text=publish, publish_voice=publish)
    manifest = read_manifest(Marking(policy, signer=signer).encode(spoken, ".flac"))
    said = json.dumps(manifest.assertions)
    assert ("Meet me at noon." in said) == ("Vivian" in said) == publish


def test_a_folder_of_ones_own_is_not_told(signed, speech):
    manifest = read_manifest(signed(".wav", replace(speech, model="/home/jane/models/hero")))
    assert manifest.model == "custom"
    assert "jane" not in json.dumps(manifest.assertions)


def test_threads_sign_at_the_same_time(signed):
    start = threading.Barrier(8)

    def sign(suffix):
        start.wait()
        return read_manifest(signed(suffix)).valid

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(sign, [".wav", ".mp3"] * 4))


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".aac", ".pcm"])
def test_other_formats_cannot_be_signed(signer, suffix):
    assert not signer.signs(suffix)


def test_a_file_that_cannot_be_signed_is_an_error_or_stays_whole(own, speech, caplog):
    class Damaging(C2paSigner):
        """Signs a file that was cut on its way."""

        def sign(self, data, suffix, speech, tags):
            return super().sign(data[:100], suffix, speech, tags)

    signer = Damaging(own)
    with pytest.raises(MarkingFailed, match=r"\(\.wav\) cannot be signed"):
        Marking(MarkingPolicy(strict=True), signer=signer).encode(speech, ".wav")
    with caplog.at_level(logging.WARNING):
        data = Marking(signer=signer).encode(speech, ".wav")
    assert "marking.failed" in caplog.text
    assert len(decode(data)[0]) == len(speech.samples)
    assert read_manifest(data) is None


def test_mp3_files_that_are_made_to_be_joined_are_not_signed(signer, speech, tags_of):
    """A joined file would have the signature of the first one, which does not hold any more."""
    pytest.importorskip("av")
    speech = replace(speech, marker=Marking(signer=signer))
    plain = JoinableRendering("mp3").encode(speech)
    assert read_manifest(plain) is None
    assert read_manifest(speech.encode(".mp3")).valid
    signed = signer.sign(plain, ".mp3", speech, tags_of(speech))
    assert not read_manifest(signed + signed).valid
