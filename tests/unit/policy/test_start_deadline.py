"""By when a program must have started: at the edges of its time, and what counts as started."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Step
from ebbtide.infra.policy.limits import StartDeadline, awaited_step, has_started


def view(**fields: object) -> ClusterView:
    return ClusterView(cluster=ClusterId("heron-1"), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("now_s", "passed"), [(1059.9, False), (1060.0, True), (1060.1, True)])
def test_time_is_up_exactly_when_it_has_passed(now_s: float, passed: bool) -> None:
    deadline = StartDeadline.after(60.0, waited_s=0.0, now_s=1000.0)
    assert deadline.passed(now_s) is passed


def test_what_was_waited_before_the_judge_was_there_counts() -> None:
    deadline = StartDeadline.after(60.0, waited_s=45.0, now_s=1000.0)
    assert (deadline.allowed_s, deadline.left_s(1000.0)) == (60.0, 15.0)


@pytest.mark.parametrize(("waited_s", "left_s"), [(-3600.0, 60.0), (60.0, 0.0), (3600.0, 0.0)])
def test_clock_that_was_set_neither_lengthens_the_time_nor_makes_it_negative(
    waited_s: float, left_s: float
) -> None:
    deadline = StartDeadline.after(60.0, waited_s=waited_s, now_s=1000.0)
    assert deadline.at_s == 1000.0 + left_s


@pytest.mark.parametrize(("now_s", "left_s"), [(1000.0, 60.0), (1060.0, 0.0), (2000.0, 0.0)])
def test_time_left_ends_at_nothing(now_s: float, left_s: float) -> None:
    assert StartDeadline.after(60.0, waited_s=0.0, now_s=1000.0).left_s(now_s) == left_s


def test_run_with_a_program_has_started_when_that_has() -> None:
    stands = view(workers_ready_at=1.0)
    assert not has_started(stands, with_program=True)
    assert has_started(view(job=JobView(started_at=2.0)), with_program=True)


def test_session_has_started_when_its_cluster_stands() -> None:
    assert not has_started(view(head_ready_at=1.0), with_program=False)
    assert has_started(view(workers_ready_at=1.0), with_program=False)


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({}, Step.WAIT_FOR_NODES),
        ({"admitted_at": 1.0}, Step.START_HEAD),
        ({"admitted_at": 1.0, "head_ready_at": 2.0}, Step.START_WORKERS),
        (
            {"admitted_at": 1.0, "head_ready_at": 2.0, "workers_ready_at": 3.0},
            Step.RUN_USER_JOB,
        ),
    ],
)
def test_first_step_that_is_not_done_is_awaited(fields: dict[str, float], step: Step) -> None:
    assert awaited_step(view(**fields)) is step
