"""``storycore-tts say``."""

from pathlib import Path

import pytest

from storycore_tts.domain.audio import decode, peak
from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.entrypoints.cli import inputs

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
    magic = {".flac": b"fLaC", ".mp3": b"\xff"}[suffix]
    assert out.read_bytes().startswith(magic)
    assert 1.5 < heard(out) < 5


def test_a_process_of_its_own_prints_the_path_and_nothing_else(command, tmp_path, speaking_server):
    out = tmp_path / "line.flac"
    answer = command("say", LINE, "--url", speaking_server.url, "-l", "en", "-o", out)
    assert (answer.status, answer.path) == (0, str(out))
    stages = answer.err.splitlines()
    assert [s for s in stages if s in ("queued", "loading", "generating", "downloading")] == [
        "queued", "loading", "generating", "downloading",
    ]  # fmt: skip
    assert stages[-1].endswith("on comfyui, seed " + stages[-1].rpartition(" ")[2])
    assert 1.5 < heard(out) < 5


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


def test_json_says_how_the_speech_was_made(cli, tmp_path, server):
    answer = cli(
        "say", LINE, "--url", server.url, "--json", "--seed", 7, "-s", "serena", "-l", "fr",
        "-o", "a.wav",
    )  # fmt: skip
    told = answer.json
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
    }


def test_options_reach_the_server(cli, server, inputs_of):
    answer = cli(
        "say", LINE, "--url", server.url, "--speaker", "uncle fu", "--language", "de-DE",
        "--instruct", "warm, slow", "--seed", 2**64 - 1, "--max-new-tokens", 1024, "--top-p", 0.5,
        "--top-k", 7, "--temperature", 0.6, "--repetition-penalty", 1.5, "--model-choice", "1.7B",
        "--device", "auto", "--precision", "fp32",
    )  # fmt: skip
    assert answer.status == 0
    sent = inputs_of(VOICE)
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
    }.items() <= sent.items()


def test_a_checkpoint_speaks_with_its_own_voice(cli, standin_comfyui_factory):
    server = standin_comfyui_factory(instant=True, checkpoints={"/srv/voices/mara": ["mara"]})
    there = ["say", LINE, "--url", server.url, "--checkpoint", "/srv/voices/mara"]
    assert cli(*there, "--speaker", "mara", "--json").json["model"] == "/srv/voices/mara"
    nameless = cli(*there)
    assert nameless.status == 2
    assert "--speaker" in nameless.err


def test_a_file_is_overridden_by_options(cli, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "tts: {qwen: {backend: nonsense, default_speaker: Vivian, default_language: en}}"
    )
    told = cli("say", LINE, "--config", "mine.yaml", "--backend", "draft", "--json").json
    assert (told["backend"], told["speaker"], told["language"]) == ("draft", "Vivian", "English")


def test_a_hyphen_reads_stdin(cli, server, inputs_of):
    bom = b"\xef\xbb\xbf"
    answer = cli("say", "-", "--url", server.url, stdin=bom + "Grüße aus Köln.\n".encode())
    assert answer.status == 0
    assert inputs_of(VOICE)["text"] == "Grüße aus Köln."
    answer = cli("say", "-", "--backend", "draft", stdin="Grüße".encode("latin-1"))
    assert (answer.status, answer.out) == (2, "")
    assert "The text on stdin is not UTF-8: byte 2 is 0xfc." in answer.err


def test_closed_stdin_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidRequest, match="stdin is closed"):
        inputs.text_of("-")


def test_warnings_go_to_stderr_and_into_the_json(cli, server):
    answer = cli(
        "say", LINE, "--url", server.url, "--model-choice", "0.6B", "--instruct", "angry", "--json"
    )
    [warning] = answer.json["warnings"]
    assert f"warning: {warning}" in answer.err


def test_quiet_is_quiet(cli, server):
    assert cli("say", LINE, "--url", server.url, "--quiet").err == ""
