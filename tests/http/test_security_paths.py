"""No path and no address that a client names is ever looked at."""

import base64
import json
import socket

import httpx
import pytest

from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.log import Submitted, Uploaded

from .attacks import LINE
from .serving import ASYNC, CLONE, GENERATE, TRAIN, followed, on_comfyui, serving
from .sounds import recording

PATHS = ["/etc/passwd", "mia/../../secret", "..\\..\\secret", "file:///etc/passwd", "~/.ssh"]
PATHS += ["mia\0", "", "a" * 5000]
"""What roots make of more of them is in test_roots.py."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    for name in ("voices/mia", "data/mia", "secret", "trained"):
        (folder / name).mkdir(parents=True)
    for root in ("voices", "data"):
        (folder / root / "note.txt").write_text("no folder")
        (folder / root / "away").symlink_to(folder / "secret", target_is_directory=True)
    return folder


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI(instant=True) as server:
        yield server


@pytest.fixture(scope="module")
def url(folder, comfyui):
    server = {
        "checkpoint_roots": [str(folder / "voices")],
        "dataset_roots": [str(folder / "data")],
        "training_dir": str(folder / "trained"),
    }
    library = str(folder / "library")
    with serving(on_comfyui(folder, comfyui.url, voices_dir=library, server=server)) as url:
        yield url


@pytest.fixture
def sent(comfyui):
    """Returns what has arrived at ComfyUI since the test began, as one text."""
    before = len(comfyui.log.of(Submitted)), len(comfyui.log.of(Uploaded))

    def arrived():
        graphs = [record.graph for record in comfyui.log.of(Submitted)[before[0] :]]
        files = [[r.name, r.subfolder] for r in comfyui.log.of(Uploaded)[before[1] :]]
        return json.dumps([graphs, files])

    return arrived


def test_nothing_beyond_the_configured_folders_is_named_to_comfyui(http, sent):
    for path in [*PATHS, "away", "note.txt"]:
        line = {"text": LINE, "checkpoint": path, "speaker": "mia"}
        data = {"dataset": path, "speaker_name": "mia"}
        answers = [
            http.post(GENERATE, json=line),
            http.post(GENERATE, json=line, headers=ASYNC),
            http.post(TRAIN, json=data),
        ]
        assert [answer.status_code for answer in answers] == [422] * 3, path
    assert sent() == "[[], []]"


@pytest.mark.parametrize("path", PATHS)
def test_neither_voices_nor_ids_are_paths(http, sent, folder, path):
    before = sorted(folder.rglob("*"))
    sample = {"audio_sample": ("a.wav", recording(), "audio/wav")}
    form = {"text": (None, LINE), "x_vector_only": (None, "true"), "reference_id": (None, path)}
    answers = [
        http.post(TRAIN, json={"dataset": "mia", "speaker_name": path}),
        http.post(GENERATE, json={"text": LINE, "speaker": path}),
        http.post("/v1/audio/speech", json={"input": LINE, "voice": {"id": path}}),
        http.post("/v1/audio/voices", data={"name": path, "consent": "me"}, files=sample),
        http.delete("/v1/audio/voices/" + httpx.QueryParams({"": path[:200]}).__str__()[1:]),
        http.post(CLONE, files=form),
    ]
    spoken = answers.pop(2) if not path else None  # "" is the usual voice there
    assert {answer.status_code for answer in answers} <= {400, 404, 405, 422}
    assert sent() == "[[], []]" or spoken
    library = [place for place in sorted(folder.rglob("*")) if "state" not in place.parts]
    assert library == [place for place in before if "state" not in place.parts]


def test_neither_the_name_of_a_file_nor_a_key_reaches_comfyui(http, sent, folder):
    for name in ("../../evil.wav", "/etc/evil.wav", "..\\evil.wav", "evil\r\nX: y.wav"):
        form, file = {"text": LINE, "x_vector_only": "true"}, (name, recording(), "audio/wav")
        answer = http.post(CLONE, data=form, files={"reference": file})
        assert answer.status_code == 200, answer.text
    body, key = {"dataset": "mia", "speaker_name": "mia"}, {"Idempotency-Key": "../../evil"}
    job = http.post(TRAIN, json=body, headers=key)
    assert job.status_code == 202
    followed(http, job.json())
    arrived = sent()
    assert f"{folder}/trained/" in arrived  # where the operator said
    assert "evil" not in arrived
    assert ".." not in arrived


def test_a_checkpoint_below_a_folder_is_named_by_its_whole_path(http, sent, folder):
    body = {"text": LINE, "checkpoint": "mia", "speaker": "mia"}
    http.post(GENERATE, json=body)  # the stand-in finds no model there
    assert str(folder / "voices" / "mia") in sent()


def test_no_address_is_fetched(http, sent, tmp_path):
    file = tmp_path / "voice.wav"
    file.write_bytes(recording())
    form = {"text": (None, LINE), "x_vector_only": (None, "true")}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        for url in (
            f"http://{place}/voice.wav",
            f"//{place}/voice.wav",
            f"file://{file}",
            str(file),
            f"data:http://{place}/x;base64,{base64.b64encode(b'RIFF').decode()}",
            "data:;base64," + base64.b64encode(f"http://{place}/voice.wav".encode()).decode(),
        ):
            spoken = {"input": LINE, "ref_audio": url, "x_vector_only_mode": True}
            answers = [
                http.post("/v1/audio/speech", json=spoken),
                http.post(CLONE, files={**form, "reference": (None, url)}),
                http.post(CLONE, files={**form, "reference": ("a", url)}),
                http.post(GENERATE, json={"text": LINE, "checkpoint": url}),
                http.post(TRAIN, json={"dataset": url, "speaker_name": "mia"}),
            ]
            assert {answer.status_code for answer in answers} <= {400, 415, 422}
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert sent() == "[[], []]"


def test_the_page_serves_its_own_files_only(http):
    for name in ("__init__.py", "../app.py", "%2e%2e%2fapp.py", "..%2fapp.py"):
        assert http.get(f"/page/{name}").status_code == 404
