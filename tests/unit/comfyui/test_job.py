"""Every rule of a job on ComfyUI, told to its state machine: no sockets, no waiting."""

from __future__ import annotations

import logging

import pytest

from storycore_tts import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    InvalidDataset,
    InvalidRequest,
    JobCancelled,
    JobLost,
)
from storycore_tts.adapters.comfyui.protocol.leaving import MAX_PROGRESS
from storycore_tts.adapters.comfyui.protocol.messages import Failed, Interrupted
from storycore_tts.adapters.comfyui.protocol.plan import Phase
from storycore_tts.domain.progress import Progress, Stage

from .job_driver import (
    EMPTY,
    FILE,
    GRAPH,
    HISTORY,
    ID,
    POLL,
    RESTORE,
    SUBMIT,
    WITHDRAW,
    JobDriver,
    entry,
    queue,
)

BROKE = BackendUnavailable("the connection broke")
AGAIN = "the ComfyUI server lost the job, which was submitted again"
ERROR = {
    "node_id": "voice",
    "node_type": "FB_Qwen3TTSCustomVoice",
    "exception_type": "RuntimeError",
    "exception_message": "boom\n",
}


@pytest.fixture
def job() -> JobDriver:
    return JobDriver()


# From submission to result


def test_the_last_output_and_success_are_the_result(job):
    """All that history would say has been said, so it is not asked."""
    job.runs()
    job.event("executed", node="output", output=FILE)
    assert not job.machine.ended
    job.event("execution_success")
    assert job.outputs == {"output": FILE}
    assert job.commands == [SUBMIT]


def test_without_the_last_output_history_is_asked_when_it_is_written(job):
    job.runs()
    job.event("execution_success")
    assert job.asks_for()
    job.event("executing", node=None)
    assert job.wait(0).asks_for(HISTORY)
    job.history(entry())
    assert job.outputs == {"output": FILE}


def test_history_is_asked_soon_after_success_although_no_event_says_that_it_is_written(job):
    job.runs()
    job.event("execution_success")
    assert job.wait(0.2).asks_for(HISTORY)


def test_history_that_is_not_written_yet_is_asked_again(job):
    job.runs()
    job.event("executing", node=None)
    for _ in range(5):
        job.wait(1.0)
        job.history(None)
    job.wait(1.0)
    job.history(entry())
    assert job.outputs == {"output": FILE}
    assert job.commands.count(SUBMIT) == 1


@pytest.mark.parametrize(
    ("kind", "data", "outcome"),
    [
        ("execution_error", ERROR, Failed("voice", ERROR["node_type"], "RuntimeError", "boom")),
        ("execution_interrupted", {}, Interrupted()),
    ],
)
@pytest.mark.parametrize("told", [True, False], ids=["by an event", "by history"])
def test_a_job_that_ends_badly(job, kind, data, outcome, told):
    job.runs()
    if told:
        job.event(kind, **data)
    else:
        job.absent(entry((kind, data)))
    assert job.machine.done.outcome == outcome
    assert job.commands.count(SUBMIT) == 1


def test_events_that_come_before_the_answer_to_the_submission_count(job, caplog):
    """A short job has ended by then; what is told of it keeps its order."""
    caplog.set_level(logging.INFO)
    job.start().wait(0)
    job.event("execution_start")
    job.event("executed", node="output", output=FILE)
    job.event("execution_success")
    job.submitted()
    assert job.outputs == {"output": FILE}
    assert job.machine.done.queued == 0
    assert job.machine.take_progress() == [Progress(Stage.QUEUED), Progress(Stage.LOADING)]
    assert [record.event for record in caplog.records] == [
        "job.submitted",
        "job.started",
        "job.finished",
    ]


def test_outputs_of_other_nodes_and_of_nonsense_are_not_the_result(job):
    job.runs()
    job.event("executed", node="voice", output=FILE)
    job.event("executed", node="stranger", output=FILE)
    job.event("executed", node="output", output=None)
    job.event("execution_success")
    assert not job.machine.ended


def test_the_times_of_a_job(job):
    job.start().wait(0)
    job.submitted()
    job.wait(7)
    job.event("execution_start")
    job.wait(3)
    job.event("executed", node="output", output=FILE)
    job.event("execution_success")
    assert (job.machine.done.queued, job.machine.done.running) == (7, 3)


def test_progress_is_reported_in_its_order(job):
    job.start().submitted()
    job.snapshot(queue(running=["another"], pending=["a third", ID]))
    job.snapshot(queue(running=[ID]))
    job.event("progress", node="voice", value=2, max=3)
    job.asks_for()
    assert job.reported == [
        Progress(Stage.QUEUED),
        Progress(Stage.QUEUED, queue_position=2),
        Progress(Stage.LOADING),
        Progress(Stage.GENERATING, 0.0),
    ]


def test_progress_that_no_one_takes_is_bounded(job):
    job.runs()
    for value in range(10_000):
        job.event("progress", node="voice", value=value, max=10_000)
    assert len(job.machine.take_progress()) == MAX_PROGRESS


def test_an_event_that_reveals_bad_input_ends_the_job(job):
    def read_event(kind, data):
        raise InvalidDataset("nothing would be learned")

    job = JobDriver(read_event=read_event)
    job.start().submitted()
    job.event("executing", node="voice")
    assert job.asks_for(WITHDRAW)
    job.withdrawn()
    assert isinstance(job.machine.error, InvalidDataset)


# A doubtful submission


def test_a_submission_that_is_in_the_queue_is_not_repeated(job):
    job.start().uncertain(BROKE)
    assert job.asks_for(POLL)
    job.snapshot(queue(pending=[ID]))
    assert job.machine.phase is Phase.FOLLOWING
    assert job.commands.count(SUBMIT) == 1


def test_a_submission_that_is_in_history_is_not_repeated(job):
    job.start().uncertain(BROKE)
    job.absent(entry())
    job.absent(entry())
    assert job.outputs == {"output": FILE}
    assert job.commands.count(SUBMIT) == 1


def test_a_submission_that_events_speak_of_is_not_repeated(job):
    job.start().wait(0)
    job.event("execution_start")
    job.uncertain(BROKE)
    assert job.machine.phase is Phase.FOLLOWING
    job.event("executed", node="output", output=FILE)
    job.event("execution_success")
    assert job.outputs == {"output": FILE}
    assert job.commands == [SUBMIT]


def test_an_event_during_the_pause_ends_the_doubt(job):
    job.start().uncertain(BROKE)
    for _ in range(3):
        job.absent()
    assert job.machine.phase is Phase.PAUSING
    job.event("execution_start")
    job.wait(5)
    assert job.commands.count(SUBMIT) == 1


def test_a_submission_that_is_nowhere_is_repeated_after_three_looks(job):
    job.start().uncertain(BROKE)
    for _ in range(2):
        job.absent()
        assert job.wait(5).asks_for(POLL)
    job.absent()
    assert job.asks_for()
    assert job.wait(0.4).asks_for(SUBMIT)
    job.submitted()
    assert job.machine.phase is Phase.FOLLOWING


def test_three_submissions_are_enough(job):
    job.start()
    for _ in range(3):
        job.uncertain(BROKE)
        for _ in range(3):
            job.absent()
        job.wait(1)
    assert job.commands.count(SUBMIT) == 3
    for _ in range(3):
        job.wait(1).withdrawn()
    assert job.machine.error is BROKE
    assert not job.machine.error.retryable


def test_of_a_job_that_may_live_no_retry_is_suggested(job):
    busy = BackendOverloaded("Busy.", retry_after=3.0)
    job.start()
    for _ in range(3):
        job.uncertain(busy)
        for _ in range(3):
            job.absent()
        job.wait(1)
    assert job.machine.error is busy
    assert (busy.retryable, busy.retry_after) == (False, None)


def test_a_snapshot_from_before_the_doubt_says_nothing(job):
    job.start().wait(0)
    sent = job.now
    job.wait(2).uncertain(BROKE)
    job.snapshot(EMPTY, asked=sent)
    assert job.asks_for(POLL)


def test_a_server_that_stays_silent_in_doubt_is_given_up(job):
    job.start().uncertain(BROKE)
    while not job.is_leaving:
        job.wait(1).no_snapshot(BackendUnavailable("silent"))
    assert job.now == pytest.approx(1012)  # from the first silence on, for longer than ``away``
    job.withdrawn(listed_as=ID)
    assert job.machine.error is BROKE


def test_a_history_that_stays_silent_in_doubt_is_given_up(job):
    job.start().uncertain(BROKE)
    for _ in range(20):
        if not job.is_leaving:
            job.wait(1).snapshot(EMPTY)
            job.no_history(BackendUnavailable("silent"))
    assert job.is_leaving


def test_missing_credentials_end_the_search(job):
    job.start().uncertain(BROKE)
    job.snapshot(EMPTY)
    job.no_history(AuthenticationFailed("401"))
    assert isinstance(job.machine.error, AuthenticationFailed)


def test_a_first_submission_that_was_never_sent_may_be_retried(job):
    job.start().refused(BackendUnavailable("refused"))
    assert job.machine.ended
    assert job.machine.error.retryable
    assert job.commands == [SUBMIT]


def test_a_later_submission_that_was_never_sent_is_searched_for(job):
    job.start().uncertain(BROKE)
    for _ in range(3):
        job.absent()
    job.wait(1).refused(BackendUnavailable("refused"))
    assert job.asks_for(POLL)


def test_a_refused_graph_ends_the_job_and_leaves_nothing(job):
    job.start().refused(InvalidRequest("no such speaker"))
    assert job.machine.ended
    assert job.commands == [SUBMIT]


def test_a_graph_that_runs_in_part_is_withdrawn(job):
    errors = {"voice": {"class_type": "X", "errors": [{"type": "value_not_in_list"}]}}
    job.start().submitted(node_errors=errors)
    assert job.asks_for(WITHDRAW)
    job.withdrawn()
    assert isinstance(job.machine.error, InvalidRequest)


def test_an_old_server_that_chooses_its_own_id_is_understood(job):
    job.start().submitted("its-own")
    assert job.machine.prompt_id == "its-own"
    job.snapshot(queue(running=["its-own"]))
    assert job.machine.phase is Phase.FOLLOWING


def test_in_doubt_an_old_servers_own_id_is_found_by_the_graph(job):
    job.start().uncertain(BROKE)
    job.snapshot(queue(pending=["its-own"]))
    assert job.machine.prompt_id == "its-own"
    assert job.commands.count(SUBMIT) == 1


# A job of an earlier call


@pytest.fixture
def known() -> JobDriver:
    return JobDriver(known=True).start()


def test_a_known_job_under_way_is_followed(known):
    assert known.asks_for(POLL)
    known.snapshot(queue(running=[ID]))
    known.event("executed", node="output", output=FILE)
    known.event("execution_success")
    assert known.outputs == {"output": FILE}
    assert SUBMIT not in known.commands


def test_a_known_job_that_is_done_is_fetched(known):
    known.absent(entry())
    assert known.outputs == {"output": FILE}
    assert SUBMIT not in known.commands


def test_a_known_job_is_found_under_the_id_that_an_old_server_chose(known):
    """After a kill the id is the only thing that is remembered; the graph's file name tells."""
    ours = {**GRAPH, "voice": {**GRAPH["voice"], "inputs": {"text": "Hello.", "seed": 8}}}
    known.snapshot(queue(running=["its-own"], graph=ours))
    assert known.machine.prompt_id == "its-own"
    assert known.machine.graph == ours
    assert SUBMIT not in known.commands


def test_a_known_job_that_is_nowhere_is_submitted(known):
    known.absent()
    assert known.asks_for(SUBMIT)


def test_the_entry_of_a_run_that_failed_says_nothing_of_the_next_one(known):
    old = entry(("execution_error", ERROR))
    known.absent(old)
    known.submitted()
    known.absent(old)
    assert not known.machine.ended
    known.absent(entry())
    assert known.outputs == {"output": FILE}


@pytest.mark.parametrize("where", ["queue", "history"])
def test_an_id_of_another_kind_of_job_is_refused(known, where):
    other = {"train": {"class_type": "FB_Qwen3TTSTrain", "inputs": {}}}
    if where == "queue":
        known.snapshot(queue(running=[ID], graph=other))
    else:
        known.absent(entry(graph=other))
    assert isinstance(known.machine.error, InvalidRequest)
    assert SUBMIT not in known.commands


def test_a_server_that_does_not_answer_may_be_asked_again(known):
    known.no_snapshot(BackendUnavailable("refused"))
    assert known.machine.ended
    assert known.machine.error.retryable


# Looks at the queue


def test_one_look_that_lacks_the_job_ends_nothing(job):
    job.runs()
    job.absent()
    assert job.asks_for(POLL)
    job.snapshot(queue(running=[ID]))
    for _ in range(2):
        job.absent()
    assert not job.machine.ended


def test_a_snapshot_that_was_asked_for_before_the_submission_is_ignored(job):
    job.start().wait(0)
    sent = job.now
    job.wait(1).submitted()
    job.snapshot(EMPTY, asked=sent)
    assert job.asks_for()


def test_an_ended_job_whose_events_were_lost_is_found_in_history(job):
    job.runs()
    job.absent(entry())
    assert job.outputs == {"output": FILE}


def test_a_job_that_ended_without_saying_how_has_no_outputs(job):
    job.runs()
    for _ in range(3):
        job.absent({"status": None, "outputs": {}})
    assert job.outputs == {}


def test_a_history_that_another_client_cleared_is_not_needed_where_the_output_was_told(job):
    job.runs()
    job.event("executed", node="output", output=FILE)
    for _ in range(3):
        job.absent()
    assert job.outputs == {"output": FILE}


def test_a_history_that_stumbles_costs_time_only(job):
    job.runs()
    for _ in range(4):
        job.snapshot(EMPTY)
        job.no_history(BackendUnavailable("502"))
        job.wait(1)
    job.absent(entry())
    assert job.outputs == {"output": FILE}


def test_a_history_that_never_makes_sense_ends_in_time(job):
    job.runs()
    while not job.is_leaving:
        job.snapshot(EMPTY)
        job.no_history(BackendUnavailable("502"))
        job.wait(1)
    assert job.now < 1000 + 10 + 3
    assert not job.machine.error.retryable


def test_missing_credentials_end_the_job(job):
    job.runs()
    job.snapshot(EMPTY)
    job.no_history(AuthenticationFailed("401"))
    assert isinstance(job.machine.error, AuthenticationFailed)


# A server that forgets, and one that goes away


def test_a_job_that_the_server_forgot_is_given_to_it_again(job):
    job.runs()
    job.machine.stream_changed(connected=False)
    for _ in range(3):
        job.absent()
    assert job.asks_for(SUBMIT)
    job.submitted()
    job.event("executed", node="output", output=FILE)
    job.event("execution_success")
    assert job.machine.done.warnings == (AGAIN,)


def test_a_poll_that_fails_counts_as_a_break_too(job):
    job.runs()
    job.no_snapshot(BROKE)
    for _ in range(3):
        job.absent()
    assert job.asks_for(SUBMIT)


def test_without_an_event_stream_no_one_can_tell_a_removed_job_from_a_lost_one():
    job = JobDriver(connected=False)
    job.start().submitted()
    for _ in range(3):
        job.absent()
    assert job.asks_for(SUBMIT)


def test_files_are_uploaded_before_the_job_is_given_again():
    job = JobDriver(has_files=True)
    job.runs()
    job.machine.stream_changed(connected=False)
    for _ in range(3):
        job.absent()
    assert job.asks_for(RESTORE)
    job.restored()
    assert job.asks_for(SUBMIT)


def test_a_server_that_goes_away_again_is_tried_for_a_while():
    job = JobDriver(has_files=True)
    job.runs()
    job.no_snapshot(BROKE)
    for _ in range(3):
        job.absent()
    tries = 0
    while not job.is_leaving:
        job.restored(BackendUnavailable("not yet"))
        job.wait(1)
        tries += 1
    assert 5 < tries < 20
    assert SUBMIT in job.commands
    assert job.commands.count(SUBMIT) == 1


def test_a_job_that_is_lost_twice_is_lost(job):
    job.runs()
    job.no_snapshot(BROKE)
    for _ in range(3):
        job.absent()
    job.submitted()
    job.no_snapshot(BROKE)
    for _ in range(3):
        job.absent()
    job.withdrawn()
    assert isinstance(job.machine.error, JobLost)
    assert "lost again" in str(job.machine.error)
    assert job.commands.count(SUBMIT) == 2


def test_a_job_that_was_removed_while_the_server_was_there_is_not_given_again(job):
    job.start().submitted()
    for _ in range(3):
        job.absent()
    job.withdrawn()
    assert isinstance(job.machine.error, JobCancelled)
    assert job.commands.count(SUBMIT) == 1


def test_a_job_that_ran_and_left_no_trace_is_not_run_again(job):
    job.runs()
    job.event("execution_success")
    for _ in range(20):
        if not job.is_leaving:
            if HISTORY in (job.wait(1).open or []):
                job.history(None)
            else:
                job.absent()
    assert isinstance(job.machine.error, JobLost)
    assert job.commands.count(SUBMIT) == 1


def test_a_server_that_goes_away_is_given_up(job):
    job.runs()
    while not job.is_leaving:
        job.wait(1).no_snapshot(BackendUnavailable("refused"))
    assert 1010 < job.now < 1014
    assert "became unreachable during the job" in str(job.machine.error)
    assert not job.machine.error.retryable
    assert job.machine.leave_by == job.now  # the caller does not wait for its withdrawal


def test_events_prove_that_a_server_is_there_whose_queue_does_not_answer(job):
    job.runs()
    for second in range(60):
        job.wait(1).no_snapshot(BackendUnavailable("timeout"))
        job.event("progress", node="voice", value=second, max=60)
    assert job.machine.phase is Phase.FOLLOWING


# Limits


@pytest.mark.parametrize(
    ("setting", "seconds"), [("queue", 300.0), ("idle", 100.0), ("job", 600.0)]
)
def test_every_wait_ends_and_takes_the_job_along(job, setting, seconds):
    job.start().submitted()
    if setting != "queue":
        job.event("execution_start")
    while setting == "job" and job.now < 1590:
        job.wait(90)
        job.event("progress", node="voice", value=1, max=100)
    job.wait(1600 + seconds - job.now if setting != "job" else 10)
    assert job.asks_for(WITHDRAW)
    job.withdrawn()
    error = job.machine.error
    assert isinstance(error, BackendTimeout)
    assert (error.wait, error.seconds, error.retryable) == (setting, seconds, False)
    assert f"timeouts.{setting}" in str(error)


# Leaving


def test_cancelling_takes_the_job_off_the_server(job):
    job.runs()
    job.machine.cancel(job.now)
    assert job.asks_for(WITHDRAW)
    assert job.machine.leave_by == job.now + 5
    job.withdrawn(runs=True)
    assert job.machine.ended
    assert job.commands.count(WITHDRAW) == 1


def test_a_job_that_runs_and_was_not_heard_of_yet_is_interrupted_twice(job):
    """ComfyUI forgets an interruption that comes before the job's first event."""
    job.start().submitted()
    job.machine.cancel(job.now)
    job.withdrawn(runs=True)
    job.event("execution_start")  # too late to tell whether the interruption came after it
    assert job.is_leaving
    job.wait(0.3)
    job.withdrawn(runs=True)
    assert job.machine.ended
    assert job.commands.count(WITHDRAW) == 2


def test_a_job_that_waits_is_withdrawn_once(job):
    job.start().submitted()
    job.machine.cancel(job.now)
    job.withdrawn(runs=False)
    assert job.machine.ended


def test_cancelling_before_the_submission_leaves_at_once(job):
    job.machine.cancel(job.now)
    assert job.machine.ended
    job.start()
    assert job.asks_for()


def test_cancelling_a_submission_that_was_not_sent_yet_sends_none(job):
    job.start()
    job.machine.cancel(job.now)
    assert job.machine.ended
    assert job.asks_for()


def test_cancelling_during_the_submission_waits_for_its_answer(job):
    job.start()
    assert job.asks_for(SUBMIT)
    job.machine.cancel(job.now)
    assert job.asks_for(SUBMIT)
    job.submitted()
    assert job.asks_for(WITHDRAW)


def test_a_cancelled_submission_that_was_refused_leaves_nothing_to_withdraw(job):
    job.start().asks_for(SUBMIT)
    job.machine.cancel(job.now)
    job.refused(BackendUnavailable("refused"))
    assert job.machine.ended
    assert job.commands == [SUBMIT]


def test_a_cancelled_submission_whose_answer_is_lost_is_withdrawn_three_times(job):
    """It may still be on its way into the queue."""
    job.start().asks_for(SUBMIT)
    job.machine.cancel(job.now)
    job.uncertain(BROKE)
    for _ in range(3):
        job.withdrawn()
        job.wait(0.3)
    assert job.machine.ended
    assert job.commands.count(WITHDRAW) == 3


def test_a_job_that_the_queue_lists_is_withdrawn_once(job):
    job.start().asks_for(SUBMIT)
    job.machine.cancel(job.now)
    job.uncertain(BROKE)
    job.withdrawn(listed_as="its-own")
    assert job.machine.ended
    assert job.machine.prompt_id == "its-own"


def test_a_server_that_does_not_answer_is_told_until_the_limit(job):
    job.runs()
    job.machine.cancel(job.now)
    for _ in range(100):
        if not job.machine.ended:
            job.not_withdrawn(BROKE)
            job.wait(0.3)
    assert job.machine.ended
    assert 5 <= job.now - 1000 < 6


def test_a_cancellation_while_a_late_job_is_withdrawn_is_kept(job):
    job.runs().wait(700)
    assert job.is_leaving
    job.machine.cancel(job.now)
    assert job.machine.cancelled
    assert job.asks_for(WITHDRAW)
    job.withdrawn()
    assert job.machine.ended


def test_a_second_cancellation_changes_nothing(job):
    job.runs()
    for _ in range(3):
        job.machine.cancel(job.now)
    assert job.asks_for(WITHDRAW)


def test_a_job_that_is_suspended_stays_on_the_server(known):
    known.snapshot(queue(running=[ID]))
    known.machine.cancel(known.now, suspended=True)
    assert known.machine.ended
    assert WITHDRAW not in known.commands


def test_a_submission_that_is_answered_after_a_suspension_changes_nothing(known):
    known.absent()
    assert known.asks_for(SUBMIT)
    known.machine.cancel(known.now, suspended=True)
    known.submitted()
    assert known.machine.ended
    assert known.asks_for()


def test_only_a_job_with_an_id_of_the_callers_can_be_suspended(job):
    job.runs()
    job.machine.cancel(job.now, suspended=True)
    assert job.asks_for(WITHDRAW)


def test_cancelling_the_look_for_a_known_job_takes_it_off_the_server(known):
    known.machine.cancel(known.now)
    assert known.asks_for(WITHDRAW) or known.asks_for(POLL, WITHDRAW)


@pytest.mark.parametrize("phase", list(Phase))
def test_closing_withdraws_the_job_in_every_phase(phase):
    job = in_phase(phase)
    posts = job.commands.count(SUBMIT)
    job.machine.close(job.now)
    if SUBMIT in job.open:
        job.submitted()
    while not job.machine.ended:
        job.wait(0.3).withdrawn()
    assert job.commands.count(SUBMIT) == posts
    if phase not in (Phase.ENDED, Phase.LEAVING):
        assert isinstance(job.machine.error, BackendUnavailable)
        assert not job.machine.error.retryable


@pytest.mark.parametrize("phase", list(Phase))
def test_no_phase_outlives_being_abandoned(phase):
    job = in_phase(phase)
    job.machine.abandon()
    assert job.machine.ended
    assert job.machine.done or job.machine.error or job.machine.cancelled


def in_phase(phase: Phase) -> JobDriver:
    """A job that is where ``phase`` says."""
    job = JobDriver(known=phase is Phase.LOOKING_UP, has_files=phase is Phase.RESTORING)
    if phase is not Phase.CONNECTING:
        job.start().asks_for()
    if phase in (Phase.FOLLOWING, Phase.RESTORING, Phase.LEAVING, Phase.ENDED):
        job.submitted()
    if phase is Phase.RESTORING:
        job.no_snapshot(BROKE)
        for _ in range(3):
            job.absent()
    if phase in (Phase.SEARCHING, Phase.PAUSING):
        job.uncertain(BROKE)
    if phase is Phase.PAUSING:
        for _ in range(3):
            job.absent()
    if phase in (Phase.LEAVING, Phase.ENDED):
        job.machine.cancel(job.now)
    if phase is Phase.ENDED:
        job.withdrawn()
    assert job.machine.phase is phase
    job.asks_for()
    return job


def test_after_the_end_nothing_changes(job):
    job.runs()
    job.event("execution_error", **ERROR)
    done = job.machine.done
    job.event("executed", node="output", output=FILE)
    job.snapshot(EMPTY)
    job.machine.cancel(job.now)
    job.machine.close(job.now)
    job.wait(10_000)
    assert job.machine.done is done
    assert job.commands == [SUBMIT]
    assert isinstance(done.outcome, Failed)
