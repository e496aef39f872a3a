"""``storycore-tts say``."""

import re
import subprocess
from pathlib import Path

import pytest
import soundfile

from storycore_tts import QwenTTSConfig
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.entrypoints.cli import inputs
from storycore_tts.entrypoints.cli.backends import with_draft_hint
from storycore_tts.errors import BackendUnavailable, InvalidRequest
from storycore_tts.sound.files import decode
from storycore_tts.sound.samples import peak

from .conftest import COMMAND

LINE = "Once upon a time there was a lighthouse."
VOICE = "FB_Qwen3TTSCustomVoice"


def heard(path):
    """Duration in seconds of an audio file in which something can be heard."""
    samples, rate = decode(Path(path).read_bytes())
    assert peak(samples) > 0.05
    return len(samples) / rate


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_the_format_is_that_of_the_suffix(cli, tmp_path, suffix):
    out = tmp_path / "new" / f"line{suffix}"
    answer = cli("say", LINE, "--backend", "draft", "--out", out)
    assert (answer.status, answer.path) == (0, str(out))
    assert soundfile.info(out).format == suffix[1:].upper()
    assert 1.5 < heard(out) < 5


def test_a_process_of_its_own_prints_the_path_and_nothing_else(command, tmp_path, speaking_server):
    out = tmp_path / "line.flac"
    answer = command("say", LINE, "--url", speaking_server.url, "-l", "en", "-o", out)
    assert (answer.status, answer.path) == (0, str(out))
    *stages, last = answer.err.splitlines()
    known = ["queued", "loading", "generating", "downloading"]
    told = [stage for stage in stages if stage in known]
    assert told in (known, known[1:])  # its start may overtake the answer that it is queued
    assert re.search(r"on comfyui, seed \d+$", last)
    assert 1.5 < heard(out) < 5


def test_openais_voices_and_those_of_the_settings_speak_here_too(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_VOICE_MAP__HERO", "{speaker: Eric}")
    for name in ("Alloy", "hero"):
        answer = cli("say", LINE, "--backend", "draft", "-s", name, "-o", tmp_path / f"{name}.wav")
        assert answer.status == 0, answer.err


def test_without_out_a_new_file_is_made_in_the_configured_folder(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_OUTPUT_DIR", str(tmp_path / "audio"))
    first = cli("say", LINE, "--backend", "draft").path
    second = cli("say", LINE, "--backend", "draft").path
    assert first != second
    assert {Path(first).parent, Path(second).parent} == {tmp_path / "audio"}
    assert heard(first) == heard(second)


def test_a_failure_leaves_no_folder_of_ours_behind_and_the_users_alone(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli("say", LINE, "--url", "http://127.0.0.1:9").status == 3
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "audio").mkdir()
    monkeypatch.setenv("STORYCORE_TTS_OUTPUT_DIR", "audio")
    assert cli("say", LINE, "--url", "http://127.0.0.1:9").status == 3
    assert (tmp_path / "audio").is_dir()


def test_json_says_how_the_speech_was_made(there, tmp_path):
    options = ("--seed", 7, "-s", "serena", "-l", "fr", "-o", "a.wav")
    told = there("say", LINE, "--json", *options).json
    timings = told.pop("timings")
    assert set(timings) == {"queued", "generating", "total"}
    assert told == {
        "path": str(tmp_path / "a.wav"),
        "duration": 1.0,
        "sample_rate": 24000,
        "backend": "comfyui",
        "model": "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice",
        "speaker": "Serena",
        "language": "French",
        "seed": 7,
        "finish_reason": "stop",
        "x_vector_only": False,
        "warnings": [],
        "disclosure": None,
    }


def test_options_reach_the_server(there, inputs_of):
    answer = there(
        "say", f"**{LINE}** [sigh]", "--strip-markup",
        "--speaker", "uncle fu", "--language", "de-DE", "--instruct", "warm, slow",
        "--seed", 2**64 - 1, "--max-new-tokens", 1024, "--top-p", 0.5, "--top-k", 7,
        "--temperature", 0.6, "--repetition-penalty", 1.5, "--model-choice", "1.7B",
        "--device", "auto", "--precision", "fp32",
    )  # fmt: skip
    assert answer.status == 0
    assert {
        "text": LINE,
        "speaker": "Uncle_fu",
        "language": "German",
        "instruct": "warm, slow",
        "seed": 2**64 - 1,
        "max_new_tokens": 512,  # scaled to the line
        "top_p": 0.5,
        "top_k": 7,
        "temperature": 0.6,
        "repetition_penalty": 1.5,
        "device": "auto",
        "precision": "fp32",
    }.items() <= inputs_of(VOICE).items()


def test_a_hyphen_reads_stdin(there, inputs_of):
    assert there("say", "-", stdin="Grüße aus Köln.\n".encode("utf-8-sig")).status == 0
    assert inputs_of(VOICE)["text"] == "Grüße aus Köln."
    answer = there("say", "-", stdin="Grüße".encode("latin-1"))
    assert (answer.status, answer.out) == (2, "")
    assert "The text on stdin is not UTF-8: byte 2 is 0xfc." in answer.err


def test_closed_stdin_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidRequest, match="stdin, which is closed"):
        inputs.text_of("-")


def test_warnings_go_to_stderr_and_into_the_json_unless_it_is_quiet(there):
    terms = ("say", LINE, "--model-choice", "0.6B", "--instruct", "angry")
    answer = there(*terms, "--json")
    [warning] = answer.json["warnings"]
    assert f"warning: {warning}" in answer.err
    assert there("say", LINE, "--quiet").err == ""
    assert "may read “**” aloud; strip_markup" in there("say", f"**{LINE}**").err


DRAFT = ("--backend", "draft")


def test_stdout_takes_the_audio_and_nothing_else(command, cli):
    how = {"capture_output": True, "check": True}
    run = [*COMMAND, "say", LINE, *DRAFT, "-o", "-", "--format"]
    for name, magic in (("wav", b"RIFF"), ("mp3", b"ID3")):
        done = subprocess.run([*run, name], **how)
        assert done.stdout.startswith(magic)
        assert 1.5 < len(decode(done.stdout)[0]) / decode(done.stdout)[1] < 5
    assert cli("say", LINE, *DRAFT, "-o", "-", "--json").status == 2
    assert cli("say", LINE, *DRAFT, "-o", "-", "--format", "doc").status == 2


def test_a_terminal_is_spared_the_audio(cli, terminal):
    terminal()
    answer = cli("say", LINE, *DRAFT, "-o", "-")
    assert (answer.status, answer.out) == (2, "")
    assert "which is a terminal" in answer.err


def test_a_folder_gets_readable_names_and_loses_no_file(cli, tmp_path):
    made = [cli("say", "Héllo, *big* world!", *DRAFT, "-o", "new/").path for _ in range(2)]
    made.append(cli("say", "你好", *DRAFT, "-l", "zh", "-o", "new", "--format", "flac").path)
    made.append(cli("say", "a" * 60, *DRAFT, "-o", "new").path)
    names = ["héllo-big-world.wav", "héllo-big-world-2.wav", "你好.flac", f"{'a' * 40}.wav"]
    assert made == [str(tmp_path / "new" / name) for name in names]


def test_a_file_is_written_over_on_request_only(cli, tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(b"mine")
    answer = cli("say", LINE, *DRAFT, "-o", file)
    assert (answer.status, file.read_bytes()) == (2, b"mine")
    assert "--force" in answer.err
    assert cli("say", LINE, *DRAFT, "-o", file, "--force").status == 0
    assert heard(file) > 1
    refused = cli("say", LINE, *DRAFT, "-o", tmp_path / "b.wav", "--format", "mp3")
    assert (refused.status, (tmp_path / "b.wav").exists()) == (2, False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_file(there, inputs_of, tmp_path, encoding):
    (tmp_path / "line.txt").write_bytes("Grüße aus Köln.\n".encode(encoding))
    assert there("say", "--text-file", "line.txt").status == 0
    assert inputs_of(VOICE)["text"] == "Grüße aus Köln."


def test_a_text_file_on_stdin_and_refusals(there, inputs_of, tmp_path):
    assert there("say", "--text-file", "-", stdin=b"Hello.").status == 0
    assert inputs_of(VOICE)["text"] == "Hello."
    (tmp_path / "line.txt").write_bytes(b"Gr\xfc\xdfe")
    assert "is not UTF-8: byte 2 is 0xfc" in there("say", "--text-file", "line.txt").err
    assert "Cannot read none.txt" in there("say", "--text-file", "none.txt").err
    assert "not both" in there("say", "Hello.", "--text-file", "line.txt").err
    assert "no text to speak" in there("say").err


def test_another_pace_and_pitch(cli, tmp_path, recording, server):
    pytest.importorskip("av")
    usual = heard(cli("say", LINE, *DRAFT).path)
    assert heard(cli("say", LINE, *DRAFT, "--speed", 2).path) == pytest.approx(usual / 2, abs=0.01)
    assert heard(cli("say", LINE, *DRAFT, "--pitch", -3).path) == pytest.approx(usual, abs=0.01)
    clone = cli("clone", recording, LINE, "--speed", 0.5, "--url", server.url)
    assert heard(clone.path) == pytest.approx(2.0, abs=0.01)
    assert "speed" in cli("say", LINE, *DRAFT, "--speed", 9).err


def test_tries_are_counted_in_one_line_and_one_remedy_is_given(cli, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_RETRY__INITIAL_SECONDS", "0.01")
    monkeypatch.setenv("STORYCORE_TTS_FALLBACK", "none")  # direct may be installed here
    answer = cli("say", LINE, "--url", "http://127.0.0.1:9")
    tries, error, hint = answer.err.splitlines()
    assert tries == "comfyui failed, retrying: attempt 2 of 3, 3 of 3"
    assert error.endswith(
        "no server is listening. Available on this machine: draft (use --backend draft)."
    )
    assert hint.startswith("hint: Start ComfyUI")
    assert "pip install" not in answer.err


def test_the_remedy_begins_a_sentence_after_a_message_without_a_full_stop():
    config = QwenTTSConfig(fallback="none")
    line = SpeechRequest(LINE, "Ryan")
    said = with_draft_hint(BackendUnavailable("acme is down"), line, config).message
    assert said == "acme is down. Available on this machine: draft (use --backend draft)."


def test_a_name_that_does_not_exist_is_tried_once(cli, monkeypatch):
    monkeypatch.setenv("STORYCORE_TTS_FALLBACK", "none")
    answer = cli("say", LINE, "--url", "http://no-such-host.invalid:8188")
    assert answer.status == 3
    assert answer.err.startswith("error: Cannot reach ComfyUI")
