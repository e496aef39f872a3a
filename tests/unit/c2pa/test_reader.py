"""What is read in signed files, changed ones and files of others."""

import io
import socket

import c2pa
import numpy as np
import pytest
import soundfile

from storycore_tts.adapters.c2pa.reader import read_manifest
from storycore_tts.ports.inspecting import ManifestProblem
from storycore_tts.sound.files import decode

SUFFIXES = [".wav", ".flac", ".mp3", ".m4a"]
CHANGED = {".m4a": "assertion.bmffHash.mismatch"}


def test_everything_is_told(signed, own):
    manifest = read_manifest(signed(".wav"), ".wav")
    assert (manifest.valid, manifest.trusted, manifest.changed) == (True, False, False)
    name, _, organization = manifest.signed_by.partition(" (")
    assert (name[:4], organization) == ("Key ", "Self-made by storycore-tts)")
    assert name in own().subject
    assert manifest.issuer.startswith("Key ")
    assert manifest.issuer != manifest.signed_by
    assert manifest.signed_at == ""
    assert manifest.generator.startswith("storycore-tts/")
    assert manifest.source_type.endswith("/trainedAlgorithmicMedia")
    assert manifest.created.startswith("20")
    assert manifest.model == "Qwen3-TTS-12Hz-1.7B"
    assert manifest.actions == ("c2pa.created",)
    [problem] = manifest.problems
    assert problem.code == "signingCredential.untrusted"
    assert "not who made it" in problem.sentence


def test_a_known_authority_is_trusted(signed, own):
    manifest = read_manifest(signed(".flac"), authorities=own().chain.decode())
    assert manifest.trusted
    assert manifest.problems == ()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_flipped_byte_of_the_sound_is_found(signed, suffix):
    data = bytearray(signed(suffix))
    data[5000 if suffix == ".wav" else -300] ^= 1
    manifest = read_manifest(bytes(data), suffix)
    assert (manifest.valid, manifest.changed) == (False, True)
    problem = ManifestProblem(
        CHANGED.get(suffix, "assertion.dataHash.mismatch"),
        "The sound was changed after it was signed.",
    )
    assert problem in manifest.problems


def test_a_changed_statement_is_found(signed):
    data = signed(".mp3").replace(b"Qwen3-TTS-12Hz-1.7B", b"Qwen3-TTS-12Hz-0.6B")
    manifest = read_manifest(data)
    assert (manifest.valid, manifest.changed) == (False, True)
    assert "assertion.hashedURI.mismatch" in [problem.code for problem in manifest.problems]


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_a_cut_is_found(signed, suffix):
    manifest = read_manifest(signed(suffix)[:-500], suffix)
    assert (manifest.valid, manifest.changed) == (False, True)


def test_a_wav_that_is_cut_is_damaged_or_has_lost_its_manifest(signed):
    data = signed(".wav")  # the manifest is at its end
    manifest = read_manifest(data[:-500], ".wav")
    assert (manifest.valid, manifest.changed) == (False, None)
    assert manifest.problems[0].code == "manifest.unreadable"
    assert read_manifest(data[:-10_000], ".wav") is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_left_in_a_file_that_is_encoded_again(signed, suffix):
    samples, rate = decode(signed(suffix))
    again = io.BytesIO()
    soundfile.write(again, samples, rate, format="WAV")
    assert read_manifest(again.getvalue(), ".wav") is None


def test_stripped_tags_take_the_manifest_with_them(signed):
    data = signed(".mp3")
    size = int("".join(f"{byte:07b}" for byte in data[6:10]), 2)  # of the ID3 tag
    assert read_manifest(data[10 + size :], ".mp3") is None


@pytest.mark.parametrize("suffix", ["", ".wav", ".mp3", ".ogg", ".txt"])
@pytest.mark.parametrize("data", [b"", b"RIFF", b"Hello, this is no sound at all. " * 9])
def test_what_is_no_signed_file_has_no_manifest(data, suffix):
    assert read_manifest(data, suffix) is None


def test_a_wrong_suffix_does_not_matter(signed):
    assert read_manifest(signed(".wav"), ".mp3").valid


def test_nothing_is_fetched_from_an_address_in_the_file(own, audio_file):
    info = c2pa.C2paSignerInfo("es256", own().chain, own().key, None)
    signed = io.BytesIO()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/manifest"
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder({"assertions": []}) as builder:
            builder.set_no_embed()
            builder.set_remote_url(url)
            builder.set_intent(
                c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.DIGITAL_CAPTURE
            )
            builder.sign(signer, "wav", io.BytesIO(audio_file()), signed)
        manifest = read_manifest(signed.getvalue(), ".wav")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has connected
            server.accept()
    assert (manifest.valid, manifest.changed) == (False, None)
    [problem] = manifest.problems
    assert problem.code == "manifest.remote"
    assert url in problem.sentence


def test_files_of_others_are_read_too(own, audio_file):
    """A recording, edited twice, with statements of which this package writes none."""
    actions = [{"action": "c2pa.created", "digitalSourceType": "http://example.org/capture"}]
    statements = [
        {"label": "c2pa.actions.v2", "data": {"actions": [*actions, {"action": "c2pa.edited"}]}},
        {"label": "org.example.note", "data": {"anything": "at all"}},
        {"label": "c2pa.ai-disclosure", "data": ["not", "a", "mapping"]},
    ]
    info = c2pa.C2paSignerInfo("es256", own().chain, own().key, None)
    signed = io.BytesIO()
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder({"assertions": statements}) as one:
        one.sign(signer, "wav", io.BytesIO(audio_file()), signed)
    manifest = read_manifest(signed.getvalue())
    assert manifest.valid
    assert manifest.actions == ("c2pa.created", "c2pa.edited")
    assert manifest.source_type == "http://example.org/capture"
    assert manifest.model == ""
    assert manifest.assertions["org.example.note"] == {"anything": "at all"}


def test_damaged_files_are_answered_not_crashed_by(signed):
    """Every 97th byte of the manifest is changed, each by itself."""
    data, random = signed(".mp3"), np.random.default_rng(3)
    for at in range(0, 5000, 97):
        damaged = bytearray(data)
        damaged[at] ^= int(random.integers(1, 256))
        read_manifest(bytes(damaged), ".mp3")
