"""What `inspect` says of our files, of files that somebody tampered with, and of others'."""

import io
import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from storycore_tts.adapters import perth
from storycore_tts.entrypoints.cli.commands.inspect import _STATUSES
from storycore_tts.services.inspection import Verdict

pytest.importorskip("c2pa")

MADE, CAPTURED = b"digitalsourcetype/algorithmicMedia", b"digitalsourcetype/digitalCapture  "
TAGS = {"source_type", "generator", "created", "model", "job", "all"}
SIGNATURE = {
    *("state", "reason", "trusted", "changed", "signed_by", "issuer", "signed_at", "generator"),
    *("source_type", "created", "model", "actions", "ingredients", "problems"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One line as we write it, by suffix."""
    from storycore_tts.entrypoints.cli import main

    folder = tmp_path_factory.mktemp("files")
    made = {}
    for suffix in (".wav", ".flac", ".mp3", ".ogg"):
        path = folder / f"line{suffix}"
        assert main(["say", "Hello.", "--backend", "draft", "--out", str(path), "--quiet"]) == 0
        made[suffix] = path.read_bytes()
    return made


@pytest.fixture
def inspected(cli, tmp_path):
    """Inspects data as a file; returns the exit status and the JSON."""

    def run(data, *options, name="line.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        answer = cli("inspect", path, "--json", *options)
        return answer.status, answer.json

    return run


def test_our_own_file_is_signed_and_says_so(inspected, files):
    status, found = inspected(files[".wav"])
    assert (status, found["verdict"]) == (0, "synthetic")
    assert found["sentence"].startswith("This file says that it is synthetic, and its signature by")
    assert found["sentence"].endswith("is intact; the signer is not on a trust list.")
    assert found["tags"]["model"].startswith("espeak-ng")
    assert found["signature"]["actions"] == ["c2pa.created"]


@pytest.mark.skipif(perth.missing() is None, reason="the extra watermark is installed")
def test_what_is_missing_for_the_watermark_is_named(inspected, files):
    _, found = inspected(files[".ogg"])
    reason = f"{perth.missing()}: pip install 'storycore-tts[watermark]'"
    assert found["watermark"]["reason"] == reason


def test_the_verdict_is_the_first_line_for_people(cli, files, tmp_path):
    (tmp_path / "broken.wav").write_bytes(_flipped(files[".wav"]))
    answer = cli("inspect", "broken.wav")
    first, *rows = answer.out.splitlines()
    assert (answer.status, first.partition(":")[0]) == (5, "WARNING")
    assert "  source type    algorithmicMedia" in rows
    assert "  signature      BROKEN" in rows
    assert "(assertion.dataHash.mismatch)" in answer.out


def test_the_keys_of_the_json_are_stable(inspected, files):
    for data in (files[".wav"], files[".ogg"]):
        _, found = inspected(data)
        assert set(found) == {"file", "verdict", "sentence", "tags", "signature", "watermark"}
        assert set(found["tags"]) == TAGS
        assert set(found["signature"]) == SIGNATURE
        assert set(found["watermark"]) == {"state", "reason", "detector", "score"}


def test_each_verdict_has_an_exit_status():
    assert set(_STATUSES) == {verdict.value for verdict in Verdict}


def test_a_format_without_signatures_says_that_anyone_may_have_written_it(inspected, files):
    status, found = inspected(files[".ogg"])
    assert (status, found["signature"]["state"]) == (0, "none")
    assert "not signed" in found["sentence"]


def _flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _cut(data):
    return data[: -len(data) // 4]


def _encoded_again(data):
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return _file(samples, rate)


def _file(samples, rate=24_000, kind="FLAC"):
    """A file of another program."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind)
    return buffer.getvalue()


def _without_tags(data):
    """Copy the sound without decoding it, as ``ffmpeg -c copy -map_metadata -1`` does."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as old:
        kind = old.format.name
        with av.open(buffer, "w", format=kind) as new:
            stream = new.add_stream_from_template(old.streams.audio[0])
            for packet in old.demux(old.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
    return buffer.getvalue()


def _claims_to_be_a_recording(data):
    assert MADE in data
    return data.replace(MADE, CAPTURED)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
@pytest.mark.parametrize(
    ("tamper", "status", "verdict"),
    [
        (_flipped, 5, "broken"),
        (_claims_to_be_a_recording, 5, "broken"),
        (_encoded_again, 1, "nothing"),
        (_without_tags, 1, "nothing"),
    ],
)
def test_tampering(inspected, files, suffix, tamper, status, verdict):
    got, found = inspected(tamper(files[suffix]))
    assert (got, found["verdict"]) == (status, verdict)
    if verdict == "broken":
        assert found["sentence"].startswith("WARNING")
        assert found["signature"]["state"] == "broken"
    else:
        assert found["sentence"].endswith("that does not prove that a person spoke it.")


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_a_signed_file_that_was_cut_is_broken(inspected, files, suffix):
    status, found = inspected(_cut(files[suffix]))
    assert (status, found["signature"]["changed"]) == (5, True)


def test_a_wav_that_was_cut_has_lost_its_marks(inspected, files):
    """The manifest and the tags are at the end of a wav file."""
    status, found = inspected(_cut(files[".wav"]))
    assert (status, found["verdict"]) == (1, "nothing")


def test_an_unsigned_file_can_claim_to_be_a_recording(inspected, files):
    data = files[".ogg"].replace(MADE, CAPTURED)
    status, found = inspected(data)
    assert (status, found["verdict"]) == (1, "recording")
    assert found["sentence"].endswith("it is not signed, so anyone may have written that.")


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_another_programs_file_without_marks(inspected, kind):
    status, found = inspected(_file(np.zeros(24_000, np.float32), kind=kind))
    assert (status, found["verdict"], found["signature"]["state"]) == (1, "nothing", "none")


def test_a_signer_on_the_trust_list_is_trusted(inspected, files, tmp_path):
    own = next(Path(os.environ["XDG_DATA_HOME"]).rglob("own.pem"))  # with its private key
    config = tmp_path / "config.yaml"
    config.write_text(f"tts: {{qwen: {{marking: {{trust_list: {own}}}}}}}")
    status, found = inspected(files[".flac"], "--config", config)
    assert (status, found["signature"]["trusted"]) == (0, True)
    assert found["sentence"].endswith("is intact; the signer is on a trust list.")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_trust_list_that_cannot_be_used_is_named(cli, files, tmp_path, content):
    names = {
        "file.wav": files[".wav"],
        "config.yaml": b"tts: {qwen: {marking: {trust_list: t.pem}}}",
    }
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    if content:
        (tmp_path / "t.pem").write_text(content)
    answer = cli("inspect", "file.wav", "--config", "config.yaml")
    assert (answer.status, answer.out) == (2, "")
    assert "tts.qwen.marking.trust_list: t.pem" in answer.err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "The file is empty."),
        (b"Dear Ann, I am a letter.\n", "not a sound file"),
        (os.urandom(64).replace(b"\xff", b"x") + bytes(1000), "not a sound file"),
        (b"%PDF-1.7", "not a sound file"),
    ],
)
def test_what_is_no_sound_file_is_2(cli, tmp_path, data, said):
    (tmp_path / "a.wav").write_bytes(data)
    answer = cli("inspect", "a.wav", "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "UnsupportedRecording")
    assert said in answer.err


def test_garbage_after_a_good_beginning_says_nothing(inspected):
    noise = np.random.default_rng(1).bytes(100_000)
    for start in (
        b"RIFF\xff\xff\xff\xffWAVE",
        b"fLaC",
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"\0\0\0 ftypM4A ",
    ):
        assert inspected(start + noise)[0] == 1


def test_what_cannot_be_read_is_2(cli, tmp_path):
    with (tmp_path / "huge.wav").open("wb") as file:
        file.truncate(300 * 2**20)
    (tmp_path / "folder").mkdir()
    said = {
        "huge.wav": "huge.wav has 314572800 bytes; the maximum is 268435456.",
        "folder": "folder is a folder.",
        "none.wav": "Cannot read none.wav: No such file or directory.",
        "a\0b": "Cannot read a\0b: embedded null byte.",
    }
    for name, message in said.items():
        answer = cli("inspect", name)
        assert (answer.status, answer.out) == (2, "")
        assert f"error: {message}\n" in answer.err


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_device_is_not_read_to_its_end(cli):
    assert cli("inspect", "/dev/zero").status == 2


def test_names_in_any_script(inspected, files):
    for name in ("灯台 守.wav", "Größe.wav", "-dash.wav", "🙂"):
        status, found = inspected(files[".wav"], name=name)
        assert (status, Path(found["file"]).name) == (0, name)


def test_a_file_from_stdin(cli, files):
    answer = cli("inspect", "-", "--json", stdin=files[".mp3"])
    assert (answer.status, answer.json["file"]) == (0, "-")
    assert answer.json["signature"]["state"] == "intact"
