"""What ComfyUI's answers mean: history, queue, events."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storycore_tts.adapters.comfyui.protocol.messages import (
    Failed,
    Interrupted,
    Succeeded,
    history_is_written,
    outcome_of_event,
    outcome_of_history,
    parse_frame,
    read_queue,
    speech_progress,
    training_progress,
)
from storycore_tts.domain.progress import Progress, Stage

PROMPT = "a7571a4e-50ae-4ee6-b7a0-10e6f63cf895"
AUDIO = {"2": {"audio": [{"filename": "cv_00001_.flac", "subfolder": "lab", "type": "output"}]}}
START = ["execution_start", {"prompt_id": PROMPT, "timestamp": 1795341284753}]
CACHED = ["execution_cached", {"nodes": [], "prompt_id": PROMPT, "timestamp": 1795341284755}]
SUCCESS = ["execution_success", {"prompt_id": PROMPT, "timestamp": 1795341285003}]
ERROR = [
    "execution_error",
    {
        "prompt_id": PROMPT,
        "node_id": "1",
        "node_type": "FB_Qwen3TTSCustomVoice",
        "executed": [],
        "exception_message": "Text is required\n",
        "exception_type": "RuntimeError",
        "traceback": ['File "/srv/ComfyUI/execution.py", line 1'],
        "current_inputs": {"text": [""]},
        "current_outputs": ["2", "1"],
    },
]
INTERRUPTED = [
    "execution_interrupted",
    {"prompt_id": PROMPT, "node_id": "1", "node_type": "FB_Qwen3TTSCustomVoice", "executed": []},
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


def entry(status_str, completed, *messages, outputs=None):
    status = {"status_str": status_str, "completed": completed, "messages": list(messages)}
    return {"prompt": [0, PROMPT, {}, {}, ["2"]], "outputs": outputs or {}, "status": status}


TEXT_REQUIRED = Failed("1", "FB_Qwen3TTSCustomVoice", "RuntimeError", "Text is required")


@pytest.mark.parametrize(
    ("history", "outcome"),
    [
        (entry("success", True, START, CACHED, SUCCESS, outputs=AUDIO), Succeeded(AUDIO)),
        (entry("success", True, START, CACHED, SUCCESS), Succeeded({})),
        (entry("success", True, outputs=AUDIO), Succeeded(AUDIO)),
        (entry("error", False, START, CACHED, ERROR), TEXT_REQUIRED),
        (entry("error", False, START, CACHED, ERROR, outputs=AUDIO), TEXT_REQUIRED),
        (entry("error", False, START, CACHED, INTERRUPTED), Interrupted()),
        (entry("error", False, START), Failed("", "", "", "ComfyUI gave no reason")),
        (entry("error", False), Failed("", "", "", "ComfyUI gave no reason")),
        (entry("error", False, ERROR, INTERRUPTED), Interrupted()),
        (entry("error", False, INTERRUPTED, ERROR), TEXT_REQUIRED),
        (entry("running", False, START, CACHED), None),
        (entry("success", False, START, outputs=AUDIO), None),
        ({"outputs": AUDIO, "status": None}, Succeeded(AUDIO)),
        ({"outputs": AUDIO}, Succeeded(AUDIO)),
        ({"outputs": {}, "status": None}, None),
        ({"outputs": None, "status": None}, None),
        ({"outputs": [], "status": {"status_str": "success", "completed": True}}, Succeeded({})),
        ({"outputs": AUDIO, "status": {"completed": True, "messages": None}}, Succeeded(AUDIO)),
        ({"status": {"messages": [None, "x", [], ["execution_error"], ["a", "b"]]}}, None),
        ({}, None),
    ],
)
def test_a_history_entry_tells_how_the_prompt_ended(history, outcome):
    assert outcome_of_history(history) == outcome


def test_an_error_event_keeps_type_and_message_and_nothing_of_the_server():
    failed = outcome_of_event(*ERROR)
    assert failed == TEXT_REQUIRED
    assert "/srv" not in str(failed)


@pytest.mark.parametrize("data", [{}, {"exception_message": None, "node_id": None}])
def test_an_error_event_without_details_is_an_error(data):
    assert outcome_of_event("execution_error", data) == Failed("", "", "", "")


@pytest.mark.parametrize(
    "kind", ["execution_start", "execution_success", "executing", "status", ""]
)
def test_other_events_end_nothing(kind):
    assert outcome_of_event(kind, ERROR[1]) is None


@given(st.dictionaries(st.text() | st.sampled_from(["status", "outputs"]), json_values))
def test_any_history_entry_can_be_read(history):
    outcome = outcome_of_history(history)
    if not isinstance(history.get("status"), dict):
        assert not isinstance(outcome, Failed | Interrupted)


@given(st.lists(json_values, max_size=4), json_values, json_values)
def test_any_messages_can_be_read(messages, status_str, completed):
    history = {"status": {"messages": messages, "status_str": status_str, "completed": completed}}
    outcome = outcome_of_history(history)
    assert isinstance(outcome, Succeeded) == (completed is True and status_str != "error")


def queued(number, prompt_id, graph=None):
    return [number, prompt_id, graph or {}, {"client_id": "lab"}, ["2"]]


def test_the_queue_is_read_in_the_order_in_which_it_will_run():
    body = {
        "queue_running": [queued(3, "running", {"1": {"class_type": "A"}})],
        "queue_pending": [queued(9, "last"), queued(4, "next"), queued(5, "then")],
    }
    snapshot = read_queue(body)
    assert snapshot.running == ("running",)
    assert snapshot.pending == ("next", "then", "last")
    assert snapshot.find("1", {"class_type": "A"}) == "running"
    assert snapshot.find("1", {"class_type": "B"}) is None


def test_an_empty_queue_is_a_queue():
    snapshot = read_queue({"queue_running": [], "queue_pending": []})
    assert (snapshot.running, snapshot.pending, snapshot.graphs) == ((), (), {})


@pytest.mark.parametrize(
    "body",
    [None, [], "", 5, {}, {"queue_running": []}, {"queue_running": None, "queue_pending": []}],
)
def test_what_is_no_queue_is_none(body):
    assert read_queue(body) is None


def test_entries_that_are_none_are_left_out():
    body = {
        "queue_running": [None, "x", [], [1, "short"]],
        "queue_pending": [queued("z", "c"), queued(2, "a"), queued(None, "d"), queued(3, "b"), {}],
    }
    snapshot = read_queue(body)
    assert snapshot.running == ()
    assert snapshot.pending == ("a", "b", "c", "d")


@given(st.lists(json_values | st.lists(json_values, min_size=3)), st.lists(json_values))
@example([[1, "both", {}]], [[1, "both", {}]])
def test_any_queue_can_be_read(running, pending):
    snapshot = read_queue({"queue_running": running, "queue_pending": pending})
    assert len(snapshot.running) <= len(running)
    assert len(snapshot.pending) <= len(pending)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"type": "status", "data": {"sid": "a"}}', ("status", {"sid": "a"})),
        ('{"type": null, "data": {}}', ("None", {})),
        ('{"data": {"a": 1}}', ("None", {"a": 1})),
        ('{"type": "status", "data": null}', None),
        ('{"type": "status"}', None),
        ("[]", None),
        ("", None),
        ("nonsense", None),
        ("{", None),
        ("[" * 100_000, None),
        ('{"data": {"value": ' + "9" * 5000 + "}}", None),
        (b'{"type": "status", "data": {}}', None),
        (b"\x00\x00\x00\x01\xff\xd8", None),
    ],
)
def test_a_frame_is_read_or_ignored(text, frame):
    assert parse_frame(text) == frame


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_any_frame_is_read_or_ignored(text):
    frame = parse_frame(text)
    assert frame is None or (isinstance(frame[0], str) and isinstance(frame[1], dict))


@pytest.mark.parametrize(
    ("kind", "data", "written"),
    [
        ("executing", {"node": None, "prompt_id": PROMPT}, True),
        ("executing", {"node": "2", "prompt_id": PROMPT}, False),
        ("execution_success", {"prompt_id": PROMPT}, False),
        ("executed", {"node": "2", "prompt_id": PROMPT}, False),
    ],
)
def test_only_the_null_node_says_that_history_is_written(kind, data, written):
    assert history_is_written(kind, data) is written


LOADING, GENERATING = Progress(Stage.LOADING), Stage.GENERATING


@pytest.mark.parametrize(
    ("kind", "data", "progress"),
    [
        ("executing", {"node": "voice"}, LOADING),
        ("executing", {"node": "output"}, None),
        ("executing", {"node": None}, None),
        ("progress", {"node": "voice", "value": 1, "max": 3}, LOADING),
        ("progress", {"node": "voice", "value": 2, "max": 3}, Progress(GENERATING, 0.0)),
        ("progress", {"node": "voice", "value": 3, "max": 3}, Progress(GENERATING, 1.0)),
        ("progress", {"node": "voice", "value": 0, "max": 8}, Progress(GENERATING, 0.0)),
        ("progress", {"node": "voice", "value": 2, "max": 8}, Progress(GENERATING, 0.25)),
        ("progress", {"node": "voice", "value": 9, "max": 8}, Progress(GENERATING, 1.0)),
        ("progress", {"node": "voice", "value": -1, "max": 8}, Progress(GENERATING, 0.0)),
        ("progress", {"node": "voice", "value": 1, "max": 0}, None),
        ("progress", {"node": "voice", "value": 1, "max": None}, None),
        ("progress", {"node": "voice", "value": "1", "max": 8}, None),
        ("progress", {"node": "voice"}, None),
        ("progress", {"node": "output", "value": 1, "max": 8}, None),
        ("progress_state", {"node": "voice", "value": 1, "max": 8}, None),
    ],
)
def test_progress_of_a_voice_node(kind, data, progress):
    assert speech_progress(kind, data, voice_node="voice") == progress


UPDATE = "qwen3tts_training_update"


@pytest.mark.parametrize(
    ("kind", "data", "progress"),
    [
        (
            "progress",
            {"value": 3, "max": 6},
            Progress(Stage.TRAINING, 0.5, step=3, total_steps=6),
        ),
        ("progress", {"value": 1.5, "max": 6}, None),
        ("progress", {"value": 1, "max": 0}, None),
        (
            UPDATE,
            {"type": "status", "message": "Encoding 2 samples..."},
            Progress(Stage.LOADING, message="Encoding 2 samples..."),
        ),
        (UPDATE, {"type": "status", "message": None}, None),
        (
            UPDATE,
            {"type": "progress", "epoch": 2, "loss": 298.25},
            Progress(Stage.TRAINING, epoch=2, loss=298.25),
        ),
        (UPDATE, {"type": "progress", "epoch": 2}, Progress(Stage.TRAINING, epoch=2)),
        (UPDATE, {"type": "progress", "epoch": 2, "loss": "x"}, Progress(Stage.TRAINING, epoch=2)),
        (UPDATE, {"type": "progress", "epoch": "2", "loss": 1.0}, None),
        (
            UPDATE,
            {"type": "validation", "epoch": 2, "audio_base64": "data:audio/wav;base64,UklG"},
            Progress(Stage.TRAINING, epoch=2, message="validated epoch 2"),
        ),
        (UPDATE, {"type": "something_new"}, None),
        ("executing", {}, None),
    ],
)
def test_progress_of_a_training_node(kind, data, progress):
    assert training_progress(kind, {**data, "node": "train-1"}, node="train-1") == progress
    assert training_progress(kind, {**data, "node": "1"}, node="train-1") is None
    assert training_progress(kind, data, node="train-1") is None


numbers = st.integers() | st.floats() | st.just(10**400) | json_values


@given(
    st.sampled_from(["executing", "progress", UPDATE]),
    st.fixed_dictionaries(
        {},
        optional={
            "value": numbers,
            "max": numbers,
            "epoch": numbers,
            "loss": numbers,
            "type": st.sampled_from(["status", "progress", "validation"]) | json_values,
            "message": json_values,
        },
    ),
)
@example("progress", {"value": 10**400, "max": 1})
@example("progress", {"value": 0.5, "max": 10**400})
@example("progress", {"value": math.nan, "max": math.nan})
@example("progress", {"value": math.inf, "max": math.inf})
@example(UPDATE, {"type": "progress", "epoch": 1, "loss": 10**400})
@example(UPDATE, {"type": "progress", "epoch": 1, "loss": math.nan})
def test_any_event_is_progress_between_nothing_and_all_or_is_ignored(kind, data):
    data = {**data, "node": "n"}
    for progress in (
        speech_progress(kind, data, voice_node="n"),
        training_progress(kind, data, node="n"),
    ):
        if progress is not None:
            assert progress.fraction is None or 0 <= progress.fraction <= 1
            assert progress.loss is None or math.isfinite(progress.loss)
