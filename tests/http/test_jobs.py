"""Jobs, as a user gives, follows, fetches and stops them."""

import pytest

from storycore_tts.adapters.c2pa.reader import read_manifest
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.log import Started, Submitted

from .serving import ASYNC, GENERATE, JOBS, TRAIN, ended, followed, on_comfyui, serving, with_tones
from .sounds import decoded


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI() as server:
        yield server


@pytest.fixture(scope="module")
def url(comfyui, folder):
    server = {"backends": ["draft"], "concurrency": {"comfyui": 1}, **with_tones(folder)}
    with serving(on_comfyui(folder, comfyui.url, server=server)) as url:
        yield url


@pytest.fixture(autouse=True)
def _nothing_is_held(comfyui):
    yield
    comfyui.faults.clear()


def ordered(http, text="Once upon a time.", **more):
    answer = http.post(GENERATE, json={"text": text, "speaker": "Ryan", **more}, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.json()


def at_gate(gate):
    assert gate.reached.wait(30)


# --- from the order to the sound


def test_a_job_is_accepted_followed_and_fetched(http, comfyui):
    gate = comfyui.faults.hold("running")
    body = {"text": "Once upon a time.", "speaker": "serena", "format": "flac", "seed": 3}
    answer = http.post(GENERATE, json=body, headers=ASYNC)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"{JOBS}/{answer.json()['id']}"
    job = answer.json()
    assert (job["kind"], job["state"], job["backend"]) == ("speech", "queued", "comfyui")
    assert (job["text"], job["speaker"]) == ("Once upon a time.", "serena")

    at_gate(gate)
    running = http.get(answer.headers["location"]).json()
    assert running["state"] == "running"
    assert running["links"]["audio"] is None
    assert http.get(f"{JOBS}/{job['id']}/audio").status_code == 409
    told = followed(http, job, then=gate.release)
    assert [one["state"] for one in told][-1] == "succeeded"
    assert any(one["progress"] for one in told)
    moments = [told[-1][name] for name in ("created", "started", "ended")]
    assert moments == sorted(moments)
    assert told[-1]["result"]["seed"] == 3
    assert followed(http, job) == [told[-1]]

    sound = http.get(told[-1]["links"]["audio"])
    assert sound.headers["content-type"] == "audio/flac"
    heard = decoded(sound.content, "flac")
    assert heard.duration == pytest.approx(told[-1]["result"]["duration"], abs=0.01)
    manifest = read_manifest(sound.content, ".flac")
    assert manifest.valid
    assert f"job={job['id']}" in manifest.assertions["c2pa.actions.v2"]["actions"][0]["description"]


def test_parts_of_the_sound_are_sent_and_nothing_undoes_a_job(http):
    job = ended(http, ordered(http, backend="draft"))
    link = job["links"]["audio"]
    whole = http.get(link)
    tag, size = whole.headers["etag"], len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"
    rest = http.get(link, headers={"Range": "bytes=200-", "If-Range": tag})
    assert (rest.status_code, rest.content) == (206, whole.content[200:])
    other = http.get(link, headers={"Range": "bytes=200-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    beyond = http.get(link, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    known = http.get(link, headers={"If-None-Match": tag})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)

    stopped = http.delete(job["links"]["self"])  # too late
    assert (stopped.status_code, stopped.json()) == (200, job)
    assert http.get(link).status_code == 200
    removed = http.delete(job["links"]["self"], params={"remove": True})
    assert (removed.status_code, removed.json()) == (200, job)
    assert http.get(job["links"]["self"]).status_code == http.get(link).status_code == 404


# --- stopping


@pytest.mark.parametrize("kind", ["speech", "training"])
def test_a_job_that_runs_is_stopped_on_the_backend(http, comfyui, kind):
    gate = comfyui.faults.hold("running", node_type=None)
    if kind == "speech":
        job = ordered(http, "Stop me.")
    else:
        body = {"dataset": "tones", "speaker_name": "my_hero", "num_epochs": 5}
        job = http.post(TRAIN, json=body).json()
    at_gate(gate)
    prompt = comfyui.log.submitted[-1]
    stopped = http.delete(job["links"]["self"])
    assert (stopped.status_code, stopped.json()["state"]) == (200, "cancelled")
    assert comfyui.log.wait_for(lambda log: prompt in log.interrupt_requests, 30)
    gate.release()
    assert comfyui.log.wait_for(lambda log: prompt in log.interrupted, 30)
    assert ended(http, job)["state"] == "cancelled"
    again = http.delete(job["links"]["self"])
    assert (again.status_code, again.json()) == (200, http.get(job["links"]["self"]).json())


def test_a_job_that_waits_is_taken_out_of_either_queue(http, comfyui):
    gate = comfyui.faults.hold("queue")
    first = ordered(http, "Take me out.")
    at_gate(gate)
    prompt = comfyui.log.submitted[-1]
    second = ordered(http, "Never submitted.")
    assert http.delete(second["links"]["self"]).json()["state"] == "cancelled"
    assert ended(http, second)["state"] == "cancelled"
    http.delete(first["links"]["self"])
    assert comfyui.log.wait_for(lambda log: prompt in log.deleted, 30)
    assert comfyui.log.executions(prompt) == 0
    assert comfyui.log.submitted[-1] == prompt


# --- order and time


def last_spoken(comfyui, number):
    """Return the lines that the backend began to speak last, in its order."""
    graphs = {one.prompt_id: one.graph for one in comfyui.log.of(Submitted)}
    started = [graphs[one.prompt_id] for one in comfyui.log.of(Started)[-number:]]
    return [
        next(node["inputs"]["text"] for node in graph.values() if "text" in node["inputs"])
        for graph in started
    ]


def test_the_more_urgent_goes_first(http, comfyui):
    gate = comfyui.faults.hold("running")
    running = ordered(http, "It runs.")
    at_gate(gate)
    with http.stream("GET", running["links"]["events"]) as answer:
        next(answer.iter_lines())  # who leaves the events stops nothing
    jobs = [ordered(http, f"Priority {one}.", priority=one) for one in (-10, 0, 10, 5)]
    gate.release()
    assert {ended(http, job)["state"] for job in (running, *jobs)} == {"succeeded"}
    assert last_spoken(comfyui, 4) == [f"Priority {priority}." for priority in (10, 5, 0, -10)]
    assert http.get(jobs[0]["links"]["self"]).json()["priority"] == -10
    refused = http.post(GENERATE, json={"text": "x", "priority": 11}, headers=ASYNC)
    assert refused.status_code == 422


@pytest.mark.parametrize("how", ["a job", "at once", "with a key"])
def test_a_line_has_as_long_as_it_asked_for(http, comfyui, how):
    before = len(comfyui.log.submitted)
    comfyui.faults.hold("running")
    if how == "a job":
        job = ended(http, ordered(http, "Too long.", time_limit=1))
        assert (job["state"], job["problem"]["status"]) == ("failed", 504)
        assert job["problem"]["type"].startswith("urn:storycore-tts:problem:")
        assert http.get(f"{JOBS}/{job['id']}/audio").status_code == 409
    else:
        body = {"text": "Too long to wait.", "speaker": "Ryan", "time_limit": 1}
        key = {"Idempotency-Key": "too long"} if how == "with a key" else {}
        answer = http.post(GENERATE, json=body, headers=key)
        assert answer.status_code == 504
        assert "1 s" in answer.json()["detail"]
    # All that was submitted since then is taken back; it may not have come far.
    assert comfyui.log.wait_for(
        lambda log: {*log.submitted[before:]} <= {*log.interrupt_requests, *log.deleted}, 30
    )


# --- the list


def test_jobs_are_listed_the_youngest_first(http):
    given = [ended(http, ordered(http, f"Line {n}.", backend="draft"))["id"] for n in range(3)]
    listed = http.get(JOBS, params={"limit": 3}).json()["jobs"]
    assert [job["id"] for job in listed] == given[::-1]
    later = http.get(JOBS, params={"limit": 2, "offset": 1}).json()["jobs"]
    assert [job["id"] for job in later] == given[1::-1]
    one = http.get(JOBS, params={"state": "succeeded", "limit": 1}).json()["jobs"]
    assert [job["id"] for job in one] == given[2:]
    for state in ("queued", "running"):
        assert http.get(JOBS, params={"state": state}).json()["jobs"] == []
    failed = http.get(JOBS, params={"state": "failed"}).json()["jobs"]
    assert {job["state"] for job in failed} <= {"failed"}
    for wrong in ({"limit": 0}, {"limit": 501}, {"offset": -1}, {"state": "lost"}):
        assert http.get(JOBS, params=wrong).status_code == 422
