"""Every kind of failure: its exit status, its message, its JSON, and no traceback."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from storycore_tts import errors
from storycore_tts.entrypoints.cli import failures
from storycore_tts.testing.comfyui import (
    Answer,
    InterruptedByAnother,
    NodePackMissing,
    SilentAudio,
    out_of_memory,
)

from .conftest import COMMAND

DOWN = "http://127.0.0.1:9"
WRONG = [
    ["say"],
    ["say", "Hello.", "--seed", "many"],
    ["sing", "Hello."],
    ["say", "Hello.", "--nonsense"],
    ["standin", "--port", "70000"],
    ["say", "!?", "--backend", "draft"],
    ["say", "Hello.", "--backend", "draft", "--speaker", "Emily"],
    ["say", "Hello.", "--language", "Klingon"],
    ["say", "Hello.", "--top-p", "2"],
    ["say", "Hello.", "--config", "none.yaml"],
    ["say", "Hello.", "--out", "hello.txt"],
    ["say", "word " * 5000, "--backend", "draft"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=lambda a: " ".join(a)[:40])
def test_wrong_use_and_input_is_2_and_json_says_so_too(cli, arguments):
    answer = cli(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err
    answer = cli(*arguments, "--json")
    assert answer.status == 2
    error = answer.json["error"]
    assert set(error) == {"type", "message", "hint", "backend", "retryable"}
    assert error["message"] in answer.err
    assert error["retryable"] is False


def test_an_option_is_named_in_the_refusal_of_its_value(cli):
    options = ("--backend", "--url", "--model-choice", "--device", "--precision")
    for option, value in zip(options, ("nonsense", "ftp://here", "7B", "tpu", "fp16"), strict=True):
        answer = cli("say", "Hello.", option, value)
        assert answer.status == 2
        assert f"error: {option}: tts.qwen." in answer.err
        assert "STORYCORE_TTS" not in answer.err


def test_a_file_that_cannot_be_made_is_found_before_anybody_is_asked(cli, server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for out in ("a.txt", "file/a.wav"):
        assert cli("say", "Hello.", "--url", server.url, "--out", out).status == 2
    assert server.log.records == ()


def test_a_server_that_is_down_is_3(cli):
    answer = cli("say", "Hello.", "--url", DOWN, "--json")
    assert (answer.status, answer.json["error"]["backend"]) == (3, "comfyui")
    assert answer.json["error"]["retryable"] is True
    assert "hint: Start ComfyUI" in answer.err


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (NodePackMissing(), 3, "NodePackMissing"),
        (Answer(path="*", status=401, times=None), 3, "AuthenticationFailed"),
        (out_of_memory(), 4, "OutOfMemory"),
        (SilentAudio(times=None), 4, "SilentAudio"),
        (InterruptedByAnother(), 4, "JobCancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failure_of_the_server_is_3_and_one_of_the_generation_4(
    cli, speaking_server, fault, status, kind
):
    speaking_server.faults.add(fault)
    answer = cli("say", "Hello.", "--url", speaking_server.url, "--json")
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_stdout_is_4(form):
    command = [*COMMAND, "speakers", "--backend", "draft", *form]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == "error: Cannot write stdout: No space left on device.\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bug_is_1_and_shows_its_traceback_on_request_only(capsys, as_json):
    def stumble():
        raise KeyError("stumbled")

    assert failures.guarded(stumble, as_json=as_json, debug=False) == 1
    printed = capsys.readouterr()
    assert "This is a bug in storycore-tts: KeyError" in printed.err
    assert "--debug" in printed.err
    assert "Traceback" not in printed.err
    assert bool(printed.out) == as_json
    failures.guarded(stumble, as_json=as_json, debug=True)
    assert "Traceback" in capsys.readouterr().err


def test_debug_shows_where_our_own_errors_come_from(cli):
    answer = cli("say", "!?", "--backend", "draft", "--debug")
    assert answer.status == 2
    assert "Traceback" in answer.err
    assert "InvalidRequest" in answer.err


def every_error(kind=errors.TTSError):
    return [kind] + [sub for child in kind.__subclasses__() for sub in every_error(child)]


def test_every_error_of_ours_has_a_status():
    for kind in every_error():
        refusals = (errors.InvalidRequest, errors.ConfigurationError, errors.ConsentRefused)
        if issubclass(kind, refusals):
            wanted = 2
        elif issubclass(kind, errors.BackendUnavailable | errors.AuthenticationFailed):
            wanted = 3
        else:
            wanted = 4
        assert failures.exit_status(kind.__new__(kind)) == wanted, kind


def test_an_encoding_without_letters_of_ours_does_not_choke(command, tmp_path):
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    out = tmp_path / "灯台.wav"
    answer = command("say", "Hello.", "--backend", "draft", "--out", out, env=environ)
    assert answer.status == 0
    assert answer.path.endswith(r"\u706f\u53f0.wav")
    refused = command("say", "灯台", "--language", "灯台", "--json", env=environ)
    assert refused.status == 2
    assert "灯台" in refused.json["error"]["message"]


def test_closed_streams_are_no_reason_to_fail(tmp_path):
    code = (
        "import sys; sys.stdout = sys.stderr = None\n"
        "from storycore_tts.entrypoints.cli import main\n"
        "sys.exit(main(['say', 'Hello.', '--backend', 'draft', '--out', 'a.wav']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "a.wav").stat().st_size > 1000


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the size of files")
def test_a_disk_that_fills_up_is_named_and_keeps_no_half_file(command, tmp_path):
    import resource

    out = tmp_path / "hello.wav"
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (10_000, 10_000))
    answer = command("say", "Hello.", "--backend", "draft", "-o", out, "--json", preexec_fn=full)
    assert (answer.status, answer.json["error"]["type"]) == (failures.FAILED, "OSError")
    assert f"Cannot write {out}" in answer.err
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the size of files")
def test_a_disk_that_is_full_is_found_before_anybody_is_asked(command, tmp_path, server):
    import resource

    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1000, 1000))
    options = ("--url", server.url, "-o", tmp_path / "hello.wav", "--json")
    answer = command("say", "Hello.", *options, preexec_fn=full)
    assert (answer.status, answer.json["error"]["type"]) == (failures.FAILED, "StorageFailed")
    assert list(tmp_path.iterdir()) == []
    assert server.log.submitted == []
