"""Each trouble has its own message, with what to do next."""

from __future__ import annotations

import asyncio
import socket

import pytest

from storycore_tts import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    CloneRequest,
    ConfigurationError,
    GenerationFailed,
    InvalidDataset,
    InvalidReferenceAudio,
    InvalidRequest,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    QwenTTSConfig,
    ReferenceAudio,
    RunawayGeneration,
    Sampling,
    SilentAudio,
    SpeechRequest,
    TrainingRequest,
    UnknownSpeaker,
    UnsupportedLanguage,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.testing.comfyui import (
    Answer,
    CutBody,
    DiskFull,
    DropFrames,
    EmptyFile,
    InputLimits,
    NodeError,
    NodeMissing,
    OutputDeleted,
    OutputsMissing,
    RunawayAudio,
    SpeakerList,
    TruncatedFile,
    out_of_memory,
)
from storycore_tts.testing.comfyui import (
    NodePackMissing as WithoutNodePack,
)
from storycore_tts.testing.comfyui import (
    SilentAudio as ZeroAudio,
)

LINE = SpeechRequest("Hello, this is a test.", "Ryan")


async def failure(adapter: ComfyUIAdapter, request=LINE):
    with pytest.raises(Exception) as raised:  # noqa: PT011 — each test looks at what it is
        await asyncio.wait_for(adapter.synthesize(request), 20)
    return raised.value


# Who is there


async def test_nobody_listens(make_adapter):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    error = await failure(make_adapter(url))
    assert type(error) is BackendUnavailable
    assert error.retryable
    assert f"Cannot reach ComfyUI at {url}" in str(error)
    assert "port 8000" in str(error)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("<html>It works!</html>", "text/html"), ('{"ok": true}', "application/json"), ("[]", "x/y")],
)
async def test_a_server_that_is_no_comfyui(server, adapter, body, content_type):
    server.faults.add(
        Answer(path="/system_stats", status=200, body=body, content_type=content_type, times=None)
    )
    error = await failure(adapter)
    assert type(error) is BackendUnavailable
    assert not error.retryable
    assert "does not behave like ComfyUI" in str(error)
    assert "tts.qwen.comfyui_url" in str(error)


async def test_a_wrong_path(server, make_adapter):
    error = await failure(make_adapter(f"{server.url}/wrong"))
    assert "does not behave like ComfyUI" in str(error)
    assert "404" in str(error)


async def test_a_server_that_accepts_and_says_nothing(make_adapter):
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    mute = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    error = await failure(make_adapter(f"http://127.0.0.1:{port}", request=0.3))
    mute.close()
    assert isinstance(error, BackendTimeout)
    assert (error.wait, error.seconds) == ("request", 0.3)


async def test_a_redirect_is_not_followed(server, adapter):
    server.faults.add(
        Answer(path="/system_stats", status=302, headers={"Location": "http://elsewhere/"})
    )
    error = await failure(adapter)
    assert "http://elsewhere/" in str(error)
    assert not error.retryable


async def test_credentials_are_asked_for_and_sent_to_http_and_websocket(
    standin_comfyui_factory, make_adapter
):
    server = standin_comfyui_factory(token="s3cret", instant=True)
    error = await failure(make_adapter(server.url))
    assert isinstance(error, AuthenticationFailed)
    assert "tts.qwen.comfyui.headers" in str(error)
    config = QwenTTSConfig(
        comfyui_url=server.url, comfyui={"headers": {"Authorization": "Bearer s3cret"}}
    )
    adapter = ComfyUIAdapter(config)
    assert (await adapter.synthesize(LINE)).duration > 0
    assert server.log.open_sockets == 1
    await adapter.aclose()


async def test_a_path_prefix_works_for_http_and_websocket(standin_comfyui_factory, make_adapter):
    server = standin_comfyui_factory(path_prefix="/comfy", instant=True)
    assert server.url.endswith("/comfy")
    assert (await make_adapter(server.url).synthesize(LINE)).duration > 0
    assert server.log.open_sockets == 1


async def test_an_overloaded_server_says_when_to_come_back(server, adapter):
    server.faults.add(
        Answer(path="/prompt", method="POST", status=429, headers={"Retry-After": "7"})
    )
    error = await failure(adapter)
    assert isinstance(error, BackendOverloaded)
    assert error.retry_after == 7.0


def test_a_header_that_cannot_be_sent_is_a_configuration_error():
    adapter = ComfyUIAdapter(QwenTTSConfig(comfyui={"headers": {"X-Name": "贞贞"}}))

    async def speak():
        await adapter.synthesize(LINE)

    with pytest.raises(ConfigurationError, match="headers"):
        asyncio.run(speak())


def test_a_ca_bundle_that_does_not_exist_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="CA bundle"):
        ComfyUIAdapter(
            QwenTTSConfig(comfyui_url="https://127.0.0.1:1", comfyui={"verify_tls": "/no/ca.pem"})
        )


# What the server has


async def test_the_node_pack_is_missing(server, adapter):
    server.faults.add(WithoutNodePack())
    error = await failure(adapter)
    assert isinstance(error, NodePackMissing)
    assert not error.retryable
    assert "FB_Qwen3TTSCustomVoice" in str(error)
    assert "ComfyUI-Manager" in str(error)
    status = await adapter.status()
    assert not status.reachable
    assert len(status.problems) == 3


async def test_one_node_is_missing(server, adapter):
    server.faults.add(NodeMissing(node="FB_Qwen3TTSVoiceClone"))
    assert (await adapter.synthesize(LINE)).duration > 0
    status = await adapter.status()
    assert status.reachable, "it can be asked to speak: a breaker may close"
    assert status.details["FB_Qwen3TTSVoiceClone"] == "missing"
    assert "FB_Qwen3TTSVoiceClone" in status.problems[0].message


async def test_speakers_are_those_of_the_server(server, adapter):
    server.faults.add(SpeakerList(speakers=("Ryan", "Zoe")))
    assert [speaker.name for speaker in await adapter.speakers()] == ["Ryan", "Zoe"]
    speech = await adapter.synthesize(SpeechRequest("Hello.", "zoe"))
    assert speech.speaker == "Zoe"
    error = await failure(adapter, SpeechRequest("Hello.", "Serena"))
    assert isinstance(error, UnknownSpeaker)
    assert "Ryan, Zoe" in str(error)


async def test_limits_are_those_of_the_server(server, adapter):
    server.faults.add(InputLimits(input="temperature", minimum=0.5, maximum=1.5))
    hot = SpeechRequest("Hello.", "Ryan", sampling=Sampling(temperature=1.9))
    error = await failure(adapter, hot)
    assert type(error) is InvalidRequest
    assert "temperature is 1.9" in str(error)
    assert "0.5 to 1.5" in str(error)
    assert server.log.submitted == []


async def test_too_small_a_token_budget_is_refused_before_any_work(server, adapter):
    few = SpeechRequest("Hello.", "Ryan", sampling=Sampling(max_new_tokens=100))
    error = await failure(adapter, few)
    assert "max_new_tokens is 100" in str(error)
    assert server.log.submitted == []


async def test_a_language_that_only_the_training_node_lacks(server, adapter):
    with pytest.raises(UnsupportedLanguage, match="Auto, Chinese, English, Japanese, Korean"):
        await adapter.train(TrainingRequest("in", "out", "hero", language="French"))
    assert server.log.submitted == []


# What goes wrong there


async def test_an_execution_error_comes_with_comfyuis_own_words(server, adapter):
    server.faults.add(NodeError(exception_type="RuntimeError", message="The codec is unhappy"))
    error = await failure(adapter)
    assert type(error) is GenerationFailed
    assert (error.node_type, error.node_id) == ("FB_Qwen3TTSCustomVoice", "voice")
    assert error.exception_type == "RuntimeError"
    assert "RuntimeError: The codec is unhappy" in str(error)
    assert error.backend == "comfyui"


async def test_out_of_memory(server, adapter):
    server.faults.add(out_of_memory())
    error = await failure(adapter)
    assert isinstance(error, OutOfMemory)
    assert "CUDA out of memory" in str(error)
    assert "0.6B" in str(error)


async def test_the_servers_disk_is_full(server, adapter):
    server.faults.add(DiskFull())
    error = await failure(adapter)
    assert error.node_type == "PreviewAudio"
    assert "The disk of the server is full" in str(error)


async def test_a_dataset_that_does_not_exist(server, adapter, tmp_path):
    with pytest.raises(InvalidDataset, match="Audio folder not found"):
        await adapter.train(TrainingRequest(str(tmp_path / "none"), str(tmp_path), "hero"))


async def test_a_training_that_would_learn_nothing_is_stopped(server, adapter, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.wav").touch()
        (tmp_path / f"{number}.txt").write_text("Words.", encoding="utf-8")
    gate = server.faults.hold("running")
    with pytest.raises(InvalidDataset, match=r"3 recordings.*nothing would be learned"):
        await asyncio.wait_for(
            adapter.train(TrainingRequest(str(tmp_path), str(tmp_path / "out"), "hero")), 10
        )
    gate.release()
    assert await server.log.until(lambda log: log.interrupted == log.submitted)


# What is no speech


async def test_silence_is_no_speech(server, adapter):
    server.faults.add(ZeroAudio())
    error = await failure(TextToSpeech(adapter, name="comfyui", defaults=Defaults()))
    assert isinstance(error, SilentAudio)
    assert error.retryable


async def test_audio_that_ran_into_its_budget_is_no_speech(server, adapter):
    server.faults.add(RunawayAudio())
    error = await failure(TextToSpeech(adapter, name="comfyui", defaults=Defaults()))
    assert isinstance(error, RunawayGeneration)
    assert error.partial_duration == pytest.approx(512 / 12.5, abs=0.2)
    assert error.retryable


@pytest.mark.parametrize(
    "fault",
    [
        CutBody(path="/view"),
        Answer(path="/view", status=500),
        Answer(path="/view", status=200, body="<html>"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_damaged_download_is_fetched_again_and_never_generated_again(
    server, adapter, fault
):
    server.faults.add(fault)
    assert (await adapter.synthesize(LINE)).duration == pytest.approx(1.0, abs=0.01)
    assert server.log.http_count("/view") == 2
    assert len(server.log.submitted) == 1


@pytest.mark.parametrize("fault", [TruncatedFile(), EmptyFile()])
async def test_a_damaged_file_is_never_returned_as_speech(server, adapter, fault):
    server.faults.add(fault)
    error = await failure(adapter)
    assert type(error) is GenerationFailed
    assert "damaged" in str(error)
    assert not error.retryable


async def test_a_file_that_is_gone(server, adapter):
    server.faults.add(OutputDeleted())
    error = await failure(adapter)
    assert isinstance(error, JobLost)
    assert "no longer exists" in str(error)
    assert not error.retryable


# Uploads


async def test_each_reference_has_a_name_of_its_own_on_the_server(server, adapter, reference):
    louder = ReferenceAudio(reference.samples * 1.5)
    for recording in (reference, louder, reference):
        await adapter.clone(CloneRequest("Hello.", recording, x_vector_only=True))
    names = [upload.name for upload in server.log.uploads]
    assert len(names) == len(set(names)) == 2


async def test_a_reference_that_the_server_finds_too_large(
    standin_comfyui_factory, make_adapter, reference
):
    server = standin_comfyui_factory(max_upload_size=10_000, instant=True)
    with pytest.raises(InvalidReferenceAudio, match="too large"):
        await make_adapter(server.url).clone(CloneRequest("Hi.", reference, x_vector_only=True))


async def test_a_job_without_outputs(server, adapter):
    """Neither an event nor history names a file."""
    server.faults.add(OutputsMissing(), DropFrames(types=("executed",), times=None))
    error = await failure(adapter)
    assert type(error) is GenerationFailed
    assert "names no audio file" in str(error)
