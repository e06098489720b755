"""Why a run waits, failed or took its time: worked cases of cause, evidence and fix."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.policy.explain.diagnosis import Diagnosis, Story, diagnose, fix_for


def event(kind: str, at: float = 0.0, step: str = "", **more: Any) -> Event:
    fixed: dict[str, Any] = {"message": f"a {kind}", **more}
    fixed["reason"] = Reason(fixed["reason"]) if fixed.get("reason") else None
    where = Step(step) if step else None
    return Event(run=RunName("heron"), kind=EventKind(kind), at=at, step=where, **fixed)


def waiting(reason: str | None, message: str) -> Event:
    return event("step_waiting", step="wait_for_nodes", reason=reason, message=message)


def failed(message: str = "the head did not answer", at: float = 0.0, **data: str) -> Event:
    return event("step_failed", at, "start_head", message=message, data=data)


def told(*events: Event, phase: Phase = Phase.FAILED, **more: Any) -> Diagnosis:
    known: dict[str, Any] = {"reason": None, "detail": "", "exit_code": None, "created": 0.0}
    return diagnose(Story(phase=phase, events=events, **{**known, **more}))


# It waits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.PROVISIONING])
def test_run_that_waits_says_for_what(phase: Phase) -> None:
    found = told(waiting("CAPACITY:RUNS_AT_MAX", "2 are ahead"), phase=phase)
    assert found.cause == "it is waiting: the limit of simultaneous runs is reached"
    assert (found.reason, found.evidence) == (Reason.RUNS_AT_MAX, ("2 are ahead",))
    assert found.fix == fix_for(Reason.RUNS_AT_MAX)


def test_newest_wait_counts() -> None:
    events = waiting("CAPACITY:POOL_AT_MAX", "3 ahead"), waiting("CAPACITY:RUNS_AT_MAX", "1 ahead")
    assert told(*events, phase=Phase.QUEUED).evidence == ("1 ahead",)


@pytest.mark.parametrize(
    ("phase", "cause"),
    [(Phase.STARTING, "it is starting; "), (Phase.RUNNING, "it is running; ")],
)
def test_run_that_has_waited_no_longer_waits(phase: Phase, cause: str) -> None:
    found = told(waiting("CAPACITY:POOL_AT_MAX", "no room"), phase=phase)
    assert found.cause.startswith(cause)
    assert found.reason is None


def test_queued_run_of_which_nothing_is_known_yet_waits_for_nothing() -> None:
    found = told(phase=Phase.QUEUED)
    assert found == Diagnosis("it is queued; nothing has happened yet", None, (), "")


def test_run_that_waited_until_it_failed_tells_the_failure() -> None:
    found = told(waiting("CAPACITY:POOL_AT_MAX", "no room"), reason=Reason.NOT_IN_TIME)
    assert (found.cause, found.reason) == (
        "it did not start within the allowed time",
        Reason.NOT_IN_TIME,
    )


# It goes on -----------------------------------------------------------------------------------

ADMITTED: dict[str, Any] = {"admitted_at": 988.0, "workers_wanted": 2}
STANDS: dict[str, Any] = {
    **ADMITTED, "head_ready_at": 990.0, "workers_ready_at": 995.0, "workers_joined": 2,
}  # fmt: skip
RUNS: dict[str, Any] = {**STANDS, "job": JobView(started_at=820.0)}


def going_on(phase: Phase = Phase.RUNNING, view: dict[str, Any] | None = None, **more: Any) -> str:
    seen = ClusterView(cluster=ClusterId("heron-1"), **(view or {}))
    return told(phase=phase, view=seen, now=1000.0, **more).cause


@pytest.mark.parametrize(
    ("phase", "view", "cause"),
    [
        ("Starting", {}, "it waits for the head to answer"),
        ("Starting", ADMITTED, "it waits for the head to answer, started 12s ago"),
        (
            "Starting",
            {**ADMITTED, "head_ready_at": 990.0, "workers_joined": 1},
            "it waits for workers: 1 of 2 registered",
        ),
        ("Running", RUNS, "it runs the program since 3m; 2 of 2 workers"),
        (
            "Running",
            {**RUNS, "workers_wanted": 4, "tasks_running": 12, "tasks_waiting": 40},
            "it runs the program since 3m; 2 of 4 workers; 12 tasks run, 40 wait",
        ),
        ("Running", STANDS, "its cluster stands since 5.0s; 2 of 2 workers"),
        (
            "Running",
            {**STANDS, "programs": {"a": JobView(), "b": JobView(ended_at=1.0)}},
            "it runs a; 2 of 2 workers",
        ),
        (
            "Running",
            {**RUNS, "job": JobView(ended_at=9.0)},
            "its program has ended; 2 of 2 workers",
        ),
        ("Releasing", RUNS, "it gives back what it held"),
        (
            "Running",
            {"head_ready_at": 1.0, "workers_ready_at": 1.0, "job": JobView(started_at=999.0)},
            "it runs the program since 1.0s",
        ),
    ],
)
def test_run_that_goes_on_says_what_it_does_or_waits_for(
    phase: str, view: dict[str, Any], cause: str
) -> None:
    assert going_on(Phase(phase), view) == cause


def test_what_a_run_waits_for_is_heard_first() -> None:
    view = ClusterView(cluster=ClusterId("heron-1"), **ADMITTED)
    warning = event("warning", message="worker-0 died", data={"hint": "see its log"})
    said = {"worker-1": "no route to host", "worker-2": ""}
    found = told(warning, phase=Phase.STARTING, view=view, said=said)
    assert found.evidence == ("worker-1 says: no route to host", "worker-0 died")
    assert found.fix == "see its log"


def test_autoscaler_that_is_not_ours_is_heard() -> None:
    says = "3 of 1..8 workers, CPU 97 % of 80 %"
    view = ClusterView(cluster=ClusterId("heron-1"), **ADMITTED)
    found = told(phase=Phase.RUNNING, view=view, autoscaler=says)
    assert found.evidence == (f"the autoscaler says: {says}",)


@pytest.mark.parametrize("reason", [None, Reason.EXIT_CODE])
def test_autoscalers_last_word_is_kept_after_the_end(reason: Reason | None) -> None:
    found = told(reason=reason, autoscaler="1 of 1..8 workers, stabilising")
    assert "the autoscaler said last: 1 of 1..8 workers, stabilising" in found.evidence


# It failed ------------------------------------------------------------------------------------


def test_cause_of_a_failure_is_the_sentence_of_its_reason() -> None:
    found = told(reason=Reason.HEAD_LOST)
    assert found == Diagnosis("the head died", Reason.HEAD_LOST, (), fix_for(Reason.HEAD_LOST))


def test_evidence_goes_from_the_detail_to_the_programs_last_words() -> None:
    events = [
        event("step_done", 1.0, "request_hardware_tier"),
        event("warning", message="the disk is nearly full"),
        event("attempt", message="attempt 2 of 3"),
        failed(at=5.0, detail="port 8786 is closed"),
    ]
    words = ("Traceback", "OSError: no")
    found = told(*events, reason=Reason.HEAD_NOT_READY, detail="after 120 s", last_lines=words)
    assert found.evidence == (
        "after 120 s",
        "step head: the head did not answer, port 8786 is closed",
        "the disk is nearly full",
        "attempt 2 of 3",
        "stderr: Traceback",
        "stderr: OSError: no",
        "step hardware tier took 1.0s",
        "step head took 4.0s",
    )


def test_failed_step_without_a_detail_is_told_by_its_message_alone() -> None:
    found = told(failed(), reason=Reason.HEAD_NOT_READY)
    assert found.evidence[0] == "step head: the head did not answer"


def test_last_failed_step_counts() -> None:
    found = told(failed("first"), failed("second"), reason=Reason.HEAD_NOT_READY)
    assert found.evidence[0] == "step head: second"


def test_evidence_said_twice_is_shown_once() -> None:
    warning = event("warning", message="the lease was late")
    found = told(warning, warning, reason=Reason.LEASE_LAPSED, detail="the lease was late")
    assert found.evidence == ("the lease was late",)


def test_what_merely_happened_is_no_evidence() -> None:
    assert told(event("scaled"), event("job_started"), reason=Reason.EXIT_CODE).evidence == ()


def test_hint_of_the_failed_step_is_better_than_the_usual_fix() -> None:
    assert told(failed(hint="open the port"), reason=Reason.HEAD_NOT_READY).fix == "open the port"


@pytest.mark.parametrize("events", [(), (failed(),), (failed(hint=""),)])
def test_without_a_hint_the_fix_is_the_usual_one(events: tuple[Event, ...]) -> None:
    found = told(*events, reason=Reason.HEAD_NOT_READY)
    assert found.fix == fix_for(Reason.HEAD_NOT_READY)


def test_hint_of_the_error_that_ended_it_counts_where_no_step_has_one() -> None:
    """A ledger that was locked is no full disk."""
    ended = event("run_ended", data={"phase": "Failed", "hint": "another process writes to it"})
    found = told(ended, reason=Reason.LEDGER_UNWRITABLE, detail="ledger.sqlite: locked")
    assert found.fix == "another process writes to it"
    assert told(failed(hint="first"), ended, reason=Reason.LEDGER_UNWRITABLE).fix == "first"


def test_what_the_process_said_that_died_is_evidence() -> None:
    found = told(reason=Reason.FLOW_LOST, said={"flow": "OSError: no", "supervisor": ""})
    assert found.evidence == ("flow said: OSError: no",)


@pytest.mark.parametrize("reason", [r for r in Reason if r.family == "misconfiguration"])
def test_wrong_request_is_to_be_corrected(reason: Reason) -> None:
    assert fix_for(reason).startswith("correct the request")


@pytest.mark.parametrize("reason", [r for r in Reason if r.family != "misconfiguration"])
def test_what_is_not_the_requests_fault_has_a_fix_of_its_own(reason: Reason) -> None:
    assert not fix_for(reason).startswith("correct the request")


def test_pool_that_grows_is_waited_for_without_a_fix() -> None:
    growing = event("step_waiting", message="pool compute grows 0 → 1")
    found = told(growing, phase=Phase.PROVISIONING)
    assert found == Diagnosis("it is waiting: pool compute grows 0 → 1", None, (), "")


def test_wait_with_a_hint_of_its_own_is_mended_by_that() -> None:
    full = event("step_waiting", reason=Reason.QUOTA, message="used up", data={"hint": "ask less"})
    found = told(full, phase=Phase.PROVISIONING)
    assert (found.reason, found.evidence, found.fix) == (Reason.QUOTA, ("used up",), "ask less")


# Where the time went --------------------------------------------------------------------------


def test_run_that_ended_well_tells_where_its_time_went() -> None:
    events = [
        event("step_done", 101.0, "request_hardware_tier"),
        event("step_done", 110.0, "run_user_job"),
        event("step_done", 111.0, "tear_down"),
    ]
    found = told(*events, phase=Phase.SUCCEEDED, created=100.0)
    assert found.cause == "it succeeded; step job took 82 % of the time"
    assert found.evidence == (
        "step hardware tier took 1.0s",
        "step job took 9.0s",
        "step release took 1.0s",
    )
    assert (found.reason, found.fix) == (None, "")


def test_only_step_has_all_of_the_time() -> None:
    found = told(event("step_done", 7.0, "start_head"), phase=Phase.RUNNING)
    assert found.cause == "it is running; step head took 100 % of the time"


def test_steps_that_took_no_time_at_all_are_no_error() -> None:
    found = told(event("step_done", 0.0, "start_head"), phase=Phase.SUCCEEDED)
    assert found.cause == "it succeeded; step head took 0 % of the time"


def test_step_done_in_two_attempts_is_summed() -> None:
    events = [
        failed(at=10.0),
        event("step_done", 12.0, "request_hardware_tier"),
        event("step_done", 17.0, "start_head"),
    ]
    assert told(*events, phase=Phase.SUCCEEDED).evidence == (
        "step head took 15s",
        "step hardware tier took 2.0s",
    )


def test_only_ends_of_steps_divide_the_time() -> None:
    events = [
        event("step_waiting", 3.0, "wait_for_nodes"),
        event("step_done", 4.0),
        event("step_done", 6.0, "wait_for_nodes"),
    ]
    assert told(*events, phase=Phase.SUCCEEDED).evidence == ("step nodes took 6.0s",)


def test_step_that_was_measured_is_told_as_measured() -> None:
    """A release that comes long after the step before it did not take so long."""
    events = [
        event("step_done", 1.0, "attach_autoscaler"),
        event("step_done", 165.0, "tear_down", data={"took_s": 6.0}),
    ]
    found = told(*events, phase=Phase.SUCCEEDED)
    assert found.evidence == ("step autoscaler took 1.0s", "step release took 6.0s")


def test_clock_set_back_makes_no_negative_time() -> None:
    events = event("step_done", 95.0, "start_head"), event("step_done", 99.0, "start_workers")
    found = told(*events, phase=Phase.SUCCEEDED, created=100.0)
    assert found.evidence == ("step head took 0.0s", "step workers took 4.0s")
    assert found.cause == "it succeeded; step workers took 100 % of the time"
