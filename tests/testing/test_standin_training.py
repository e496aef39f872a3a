"""The training node: its news, its checkpoint, its refusals."""

from __future__ import annotations

import base64
import io
import json

import pytest
import soundfile


@pytest.fixture
def dataset(tmp_path, wav):
    folder = tmp_path / "dataset"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.wav").write_bytes(wav())
        (folder / f"{name}.txt").write_text("Hello.")
    (folder / "without_text.wav").write_bytes(wav())
    return folder


@pytest.fixture
def train_graph(dataset, tmp_path):
    def make(**inputs):
        usual = {
            "init_model": "Qwen/Qwen3-TTS-12Hz-1.7B-Base",
            "tokenizer": "Qwen/Qwen3-TTS-Tokenizer-12Hz",
            "audio_folder": str(dataset), "output_dir": str(tmp_path / "out"),
            "speaker_name": "LabVoice", "test_text": "Hello world", "language": "English",
            "learning_rate": 2e-05, "num_epochs": 3, "batch_size": 1,
            "gradient_accumulation_steps": 4, "validate_every": 2,
        }  # fmt: skip
        return {
            "train": {"class_type": "FB_Qwen3TTSTrain", "inputs": usual | inputs},
            "path": {"class_type": "PreviewAny", "inputs": {"source": ["train", 0]}},
        }

    return make


def news(frames):
    """The training's news in short."""
    data = [f["data"] for f in frames if f["type"] == "qwen3tts_training_update"]
    return [(d["type"], d.get("message") or d["epoch"]) for d in data]


NEWS = [
    ("status", "Initializing..."),
    ("status", "Loading Base Model..."),
    ("status", "Encoding 2 samples..."),
    ("status", "Starting Training..."),
    ("progress", 1),
    ("progress", 2),
    ("validation", 2),
    ("progress", 3),
    ("validation", 3),
    ("status", "Done!"),
]


async def test_a_training_tells_its_news_to_everybody_and_its_voice_can_be_used(
    speaking, connect, train_graph, voice_graph, tmp_path
):
    ann, bob = await connect(speaking, "ann"), await connect(speaking, "bob")
    prompt_id, frames = await ann.run(train_graph())
    assert news(frames) == NEWS
    heard = [await bob.frame() for _ in range(2 + len(NEWS) + 1)]
    assert news(heard) == NEWS
    assert prompt_id not in str(heard)

    steps = [(f["data"]["value"], f["data"]["max"]) for f in frames if f["type"] == "progress"]
    assert steps == [(step, 6) for step in range(1, 7)]
    updates = [f["data"] for f in frames if f["type"] == "qwen3tts_training_update"]
    assert {update["node"] for update in updates} == {"train"}
    losses = [update["loss"] for update in updates if update["type"] == "progress"]
    assert losses == sorted(losses, reverse=True)
    (sample, _) = [u["audio_base64"] for u in updates if u["type"] == "validation"]
    head, data = sample.split(",")
    assert head == "data:audio/wav;base64"
    assert soundfile.info(io.BytesIO(base64.b64decode(data))).samplerate == 24_000

    checkpoint = str(tmp_path / "out" / "checkpoint-epoch-2")
    entry = (await ann.history(prompt_id))[prompt_id]
    assert entry["outputs"] == {"path": {"text": [checkpoint]}}

    with open(f"{checkpoint}/config.json", encoding="utf-8") as file:  # noqa: ASYNC230, PTH123
        assert json.load(file)["talker_config"]["spk_id"] == {"labvoice": 3000}
    voice = {"custom_model_path": checkpoint, "custom_speaker_name": "LabVoice"}
    stock, trained = await ann.audio(voice_graph()), await ann.audio(voice_graph(**voice))
    assert len(stock) != len(trained) or (stock != trained).any()


async def test_the_node_alone_runs_but_its_path_is_nowhere(server, connect, train_graph):
    client = await connect(server)
    graph = train_graph()
    del graph["path"]
    entry = await client.outcome(graph)
    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"] == {}


@pytest.mark.parametrize(
    ("inputs", "kind", "message"),
    [
        ({"audio_folder": "/nope"}, "ValueError", "Audio folder not found: /nope\n"),
        (
            {"init_model": "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"},
            "TypeError",
            "'NoneType' object is not callable\n",
        ),
        (
            {"init_model": "Qwen/Qwen3-TTS-12Hz-0.6B-Base"},
            "RuntimeError",
            "The size of tensor a (2048) must match the size of tensor b (1024) "
            "at non-singleton dimension 2\n",
        ),
    ],
)
async def test_trainings_that_fail(server, connect, train_graph, inputs, kind, message):
    client = await connect(server)
    error = await client.error(train_graph(**inputs))
    assert (error["exception_type"], error["exception_message"]) == (kind, message)
    assert error["current_inputs"]["unique_id"] == ["train"]


async def test_a_training_can_be_interrupted_between_steps(server, connect, train_graph):
    gate = server.faults.hold("running", after=2)
    client = await connect(server)
    prompt_id = await client.submit(train_graph())
    assert await server.log.until(lambda log: gate.reached.is_set())
    await client.http.post("/interrupt", json={"prompt_id": prompt_id})
    gate.release()
    frames = await client.frames_of_run()
    assert max(f["data"]["value"] for f in frames if f["type"] == "progress") == 2
    assert server.log.interrupted == [prompt_id]
