"""Every format by every way out: the file says that it is synthetic, to other programs too."""

import asyncio
import base64
import io
import json
from dataclasses import dataclass

import av
import pytest

import storycore_tts
from storycore_tts import (
    Qwen3TTSIntegration,
    QwenTTSComfyUIClient,
    QwenTTSService,
    open_tts,
    speak_scene,
)
from storycore_tts.entrypoints.cli import main
from storycore_tts.sound.files import FORMATS
from storycore_tts.sound.tag_reader import read_tags
from storycore_tts.testing.comfyui import StandInComfyUI

from .serving import ASYNC, GENERATE, ended, on_comfyui, serving

mutagen = pytest.importorskip("mutagen", reason="needs pip install mutagen")
flac = pytest.importorskip("mutagen.flac", reason="needs pip install mutagen")
id3 = pytest.importorskip("mutagen.id3", reason="needs pip install mutagen")

LINE = "Once upon a time. A robot sang."
KINDS = [suffix.removeprefix(".") for suffix in FORMATS]
OPENAI_KINDS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]
STREAMED = "/v1/audio/speech"
SOURCES = {"comfyui": "trainedAlgorithmicMedia", "draft": "algorithmicMedia"}
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@dataclass
class Ways:
    """All ways out: each returns the bytes of a file of a kind by a backend."""

    settings: storycore_tts.QwenTTSConfig
    folder: object
    http: object

    def of(self, backend):
        return self.settings.model_copy(update={"backend": backend})

    def file(self, kind):
        return self.folder / f"line.{kind}"

    def saved(self, backend, kind):
        async def save():
            async with open_tts(self.of(backend)) as tts:
                return (await tts.say(LINE)).save(self.file(kind)).read_bytes()

        return asyncio.run(save())

    def client(self, backend, kind):
        async def speak():
            async with QwenTTSComfyUIClient(self.of(backend)) as tts:
                await tts.generate_voice(LINE, output_path=self.file(kind))
                return self.file(kind).read_bytes()

        return asyncio.run(speak())

    def service(self, backend, kind):
        async def speak():
            async with QwenTTSService(config=self.of(backend)) as service:
                result = await service.text_to_speech(
                    LINE, voice="Ryan", output_path=str(self.file(kind))
                )
                assert result.success, result.error_message
                return self.file(kind).read_bytes()

        return asyncio.run(speak())

    def integration(self, backend, kind):
        with Qwen3TTSIntegration(config=self.of(backend)) as old:
            assert old.generate_voice(LINE, self.file(kind))
            return self.file(kind).read_bytes()

    def _posted(self, path, body, **how):
        answer = self.http.post(path, json=body, **how)
        assert answer.is_success, answer.text
        return answer

    def _heads(self, answer, backend):
        assert answer.headers["speech-source-type"] == SOURCES[backend]
        assert answer.headers["speech-generator"].startswith("storycore-tts/")
        return answer.content

    def generate(self, backend, kind):
        body = {"text": LINE, "backend": backend, "format": kind}
        return self._heads(self._posted(GENERATE, body), backend)

    def job(self, backend, kind):
        body = {"text": LINE, "backend": backend, "format": kind}
        job = ended(self.http, self._posted(GENERATE, body, headers=ASYNC).json())
        return self._heads(self.http.get(job["links"]["audio"]), backend)

    def openai(self, backend, kind, **more):
        body = {"input": LINE, "model": backend, "voice": "Ryan", "response_format": kind, **more}
        answer = self._posted(STREAMED, body)
        self._heads(answer, backend)
        return answer

    def whole(self, backend, kind):
        return self.openai(backend, kind).content

    def stream(self, backend, kind):
        return self.openai(backend, kind, stream_format="audio").content

    def events(self, backend, kind):
        lines = self.openai(backend, kind, stream_format="sse").text.splitlines()
        told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        return b"".join(base64.b64decode(one.get("audio", "")) for one in told)


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI(modern=True, instant=True) as server:
        yield server


@pytest.fixture(scope="module")
def settings(comfyui, folder):
    return on_comfyui(folder, comfyui.url, server={"backends": ["draft"]})


@pytest.fixture(scope="module")
def url(settings):
    with serving(settings) as url:
        yield url


@pytest.fixture
def ways(settings, http, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Ways(settings, tmp_path, http)


def check(data, kind, source_type):
    """Check the tags with our reader, FFmpeg and mutagen."""
    if kind == "pcm":
        assert b"igital" not in data  # there is no place for it
        return
    uri = f"{VOCABULARY}{source_type}"
    tags = read_tags(data)
    assert tags["digitalsourcetype"] == uri
    assert tags["generator"].startswith("storycore-tts/")
    assert LINE not in str(tags)
    assert "Ryan" not in str(tags)
    with av.open(io.BytesIO(data)) as file:
        fields = {**file.metadata, **file.streams.audio[0].metadata}
    assert any(f"digitalSourceType={uri}" in value for value in fields.values())
    if kind != "wav":  # mutagen reads only ID3 from wav files
        assert uri in str(_by_mutagen(data, kind))


def _by_mutagen(data, kind):
    if kind == "aac":
        return dict(id3.ID3(io.BytesIO(data)))
    if kind == "flac":  # a signed one begins with an ID3 tag, and is taken for an mp3
        return dict(flac.FLAC(io.BytesIO(data)).tags)
    return dict(mutagen.File(io.BytesIO(data)).tags)


MATRIX = [
    *((way, kind) for way in ("saved", "generate", "job") for kind in KINDS),
    *((way, kind) for way in ("whole", "stream", "events") for kind in OPENAI_KINDS),
    *((way, kind) for way in ("service", "integration") for kind in ("wav", "mp3")),
]
CASES = [(*case, backend) for case in MATRIX for backend in SOURCES]


@pytest.mark.parametrize(("way", "kind", "backend"), [*CASES, ("client", "wav", "comfyui")])
def test_each_way_out_marks_each_format(ways, way, kind, backend):
    check(getattr(ways, way)(backend, kind), kind, SOURCES[backend])


@pytest.mark.parametrize("backend", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_marks_files_and_stdout(capfdbinary, comfyui, tmp_path, kind, backend):
    out = tmp_path / f"line.{kind}"
    common = ["say", LINE, "--backend", backend, "--url", comfyui.url, "--speaker", "Ryan"]
    common = common if backend == "comfyui" else [*common[:4], "--speaker", "Ryan"]
    assert main([*common, "--out", str(out)]) == 0
    check(out.read_bytes(), kind, SOURCES[backend])
    capfdbinary.readouterr()
    assert main([*common, "--out", "-", "--format", kind]) == 0
    check(capfdbinary.readouterr().out, kind, SOURCES[backend])


async def test_the_engines_scenes_are_marked(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        {"line_id": f"l{number}", "character_id": "a", "character_name": "Anna",
         "dialogue": "We have to go.", "emotion": "neutral", "is_thought": False,
         "gesture_note": "", "voice_direction": None, "format": "standard"}
        for number in range(2)
    ]  # fmt: skip
    file = tmp_path / "S02.json"
    document = {"scene_id": "S02", "title": "At the door", "context": {}, "lines": lines}
    file.write_text(json.dumps(document), encoding="utf-8")
    for backend, source_type in SOURCES.items():
        config = settings.model_copy(update={"backend": backend})
        scene = await speak_scene(file, config=config)
        for take in scene.takes:
            check(take.path.read_bytes(), "wav", source_type)
