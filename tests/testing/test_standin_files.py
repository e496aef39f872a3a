"""GET /view and POST /upload/image."""

from __future__ import annotations

import io
import json

import soundfile

from storycore_tts.testing.comfyui import StandInComfyUI

CV = {"filename": "cv_00001_.flac", "subfolder": "lab", "type": "output"}


async def test_a_result_is_flac_with_the_whole_graph_in_it(speaking, connect, voice_graph):
    client = await connect(speaking)
    await client.run(voice_graph())
    answer = await client.http.get("/view", params=CV)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/flac"
    assert answer.headers["content-disposition"] == 'filename="cv_00001_.flac"'
    file = soundfile.SoundFile(io.BytesIO(answer.content))
    assert (file.samplerate, file.channels, file.subtype) == (24_000, 1, "PCM_16")
    assert json.loads(file.comment) == {"prompt": voice_graph()}
    assert (speaking.storage.root / "output/lab/cv_00001_.flac").read_bytes() == answer.content


async def test_files_are_numbered(speaking, connect, voice_graph):
    client = await connect(speaking)
    names = []
    for seed in (1, 2):
        entry = await client.outcome(voice_graph(seed=seed))
        names.append(entry["outputs"]["2"]["audio"][0]["filename"])
    assert names == ["cv_00001_.flac", "cv_00002_.flac"]
    (speaking.storage.root / "output/lab/cv_00002_.flac").unlink()
    entry = await client.outcome(voice_graph(seed=3))  # a number that became free comes again
    assert entry["outputs"]["2"]["audio"][0]["filename"] == "cv_00002_.flac"


async def test_a_preview_lies_in_the_temp_folder_under_a_name_that_never_comes_again(
    server, connect, voice_graph
):
    client = await connect(server)
    names = []
    for seed in (1, 2):
        graph = voice_graph(seed=seed)
        graph["2"] = {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}}
        (file,) = (await client.outcome(graph))["outputs"]["2"]["audio"]
        assert file["type"] == "temp"
        assert (await client.http.get("/view", params=file)).content.startswith(b"fLaC")
        names.append(file["filename"].removesuffix("_00001_.flac"))
        server.storage.forget_temp()  # as a restart does
    assert names[0] != names[1]
    assert all(name.startswith("ComfyUI_temp_") for name in names)


async def test_what_view_refuses_has_no_body(server, connect):
    client = await connect(server)
    for params, status in (
        ({"filename": "nope.flac", "type": "output"}, 404),
        ({"type": "output"}, 404),
        ({**CV, "subfolder": "../.."}, 403),
        ({"filename": "../secret.flac", "type": "output"}, 400),
        ({"filename": "x.flac", "type": "elsewhere"}, 400),
    ):
        answer = await client.http.get("/view", params=params)
        assert (answer.status_code, answer.content) == (status, b""), params


async def test_an_upload_keeps_its_name_unless_other_bytes_have_it(server, connect, wav):
    client = await connect(server)
    one, two = wav(hertz=220), wav(hertz=330)
    uploads = [(one, {}), (one, {}), (two, {}), (two, {}), (two, {"overwrite": "true"})]
    names = []
    for data, form in uploads:
        answer = await client.upload("ref.wav", data, **form)
        assert answer.status_code == 200
        assert set(answer.json()) == {"name", "subfolder", "type"}
        names.append(answer.json()["name"])
    assert names == ["ref.wav", "ref.wav", "ref (1).wav", "ref (1).wav", "ref.wav"]
    assert (server.storage.root / "input/ref.wav").read_bytes() == two
    info = (await client.http.get("/object_info/LoadAudio")).json()
    offered = info["LoadAudio"]["input"]["required"]["audio"][0]
    assert offered == ["ref (1).wav", "ref.wav"]


async def test_an_upload_into_a_subfolder(server, connect, wav, clone_graph):
    client = await connect(server)
    answer = await client.upload("ref.wav", wav(), subfolder="lab/sub")
    assert answer.json() == {"name": "ref.wav", "subfolder": "lab/sub", "type": "input"}
    entry = await client.outcome(clone_graph(audio="lab/sub/ref.wav"))
    assert entry["status"]["status_str"] == "success"


async def test_an_upload_that_is_too_large(connect, wav):
    with StandInComfyUI(instant=True, max_upload_size=10_000) as server:
        client = await connect(server)
        assert (await client.upload("ref.wav", wav())).status_code == 413
        features = (await client.http.get("/features")).json()
        assert features["max_upload_size"] == 10_000


async def test_a_prefix_that_leads_out_fails_after_the_generation(server, connect, voice_graph):
    client = await connect(server)
    error = await client.error(voice_graph(prefix="../../x"))
    assert error["node_type"] == "SaveAudio"
    assert error["executed"] == ["1"]
    assert "outside the output folder" in error["exception_message"]
