"""How a program in a pod is ended for a reason of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from ebbtide.infra.frameworks.base import FrameworkStatus
from ebbtide.infra.models.cluster import ClusterView, JobView, WaitingView
from ebbtide.infra.models.demand import Demand, DemandFigures, Unit
from ebbtide.infra.models.job import Limits as Allowed
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.naming import ENDED_BECAUSE
from ebbtide.infra.platforms.kubernetes.reading.job import ended_because
from ebbtide.infra.platforms.kubernetes.tending import limits as module
from ebbtide.infra.platforms.kubernetes.tending.figures import Figures
from ebbtide.infra.platforms.kubernetes.tending.limits import Limits
from ebbtide.infra.platforms.upkeep import work
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from tests.clusters import cluster_spec, run_spec
from tests.unit.platforms.tending.fakes import CLUSTER, Clock, FakeApi, Told

DRIVER = f"{CLUSTER}-driver"
RUNS, ENDED = (
    {"metadata": {}, "status": {"containerStatuses": [{"name": "driver", "state": {state: {}}}]}}
    for state in ("running", "terminated")
)
IDLE = FrameworkStatus(workers={}, finished=0)


class Used:
    """Stands for the figures."""

    workers = ()
    cores = 0.0

    def __init__(self) -> None:
        self.program_cores: float | None = None


class Stage:
    """A program that began at 0 on the server's clock."""

    def __init__(self, clock: Clock, **allowed: float | None):
        self.api, self.told, self.used, self.clock = FakeApi(), Told(), Used(), clock
        self.api.answer = [RUNS, ENDED]
        limits = Allowed(**allowed)  # type: ignore[arg-type]
        spec = run_spec("heron", cluster_spec(), limits=limits)
        reporter = cast(StatusReporter, self.told)
        self.limits = Limits(cast(Api, self.api), spec, reporter)
        self.view = ClusterView(cluster=CLUSTER, job=JobView(started_at=5.0))

    def look(self, runs_s: float, status: FrameworkStatus | None = IDLE) -> None:
        self.clock.now_s = 1000.0 + runs_s
        figures = cast(Figures, self.used)
        self.limits.tick(self.view, 5.0 + runs_s, status, figures)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "now_s", made)
    monkeypatch.setattr(work, "now_s", made)
    return made


def test_program_is_told_in_its_pod_once_and_the_reason_is_left_there(clock: Clock) -> None:
    stage = Stage(clock, time_limit_s=60.0)
    for second in (59, 60, 61, 62):
        stage.look(second)
    assert [pod for pod, _ in stage.api.ran] == [DRIVER]
    ((_, name, change),) = stage.api.merged
    why = (Reason.TIME_LIMIT, "1m allowed; raise it with --time-limit")
    assert (name, ended_because(change["metadata"]["annotations"])) == (DRIVER, why)
    assert stage.api.deleted == []


def test_its_end_has_our_reason(clock: Clock) -> None:
    stage = Stage(clock, time_limit_s=60.0)
    stage.look(60)
    ended = JobView(started_at=5.0, ended_at=66.0, exit_code=-15, reason=Reason.EXIT_CODE)
    assert stage.limits.told(ended).reason is Reason.TIME_LIMIT
    assert stage.limits.told(replace(ended, exit_code=0, reason=None)).reason is None


def test_end_of_its_own_keeps_its_reason(clock: Clock) -> None:
    ended = JobView(started_at=5.0, ended_at=66.0, exit_code=3, reason=Reason.EXIT_CODE)
    assert Stage(clock).limits.told(ended) == ended


def test_server_that_is_away_is_asked_again(clock: Clock) -> None:
    stage = Stage(clock, time_limit_s=60.0)
    stage.api.away = True
    stage.look(60)
    stage.api.away = False
    stage.look(61)
    assert [pod for pod, _ in stage.api.ran] == [DRIVER]


def test_program_without_figures_is_never_idle(clock: Clock) -> None:
    stage = Stage(clock, idle_release_s=10.0)
    for second in range(60):
        stage.look(second)
    assert stage.api.ran == []


def test_program_that_does_nothing_is_ended(clock: Clock) -> None:
    stage = Stage(clock, idle_release_s=10.0)
    stage.used.program_cores = 0.001
    for second in range(12):
        stage.look(second)
    assert len(stage.api.ran) == 1
    assert stage.told.messages == ["no work for 5.0s; idle limit is 10s"]


BARRIER = Demand(kind="barrier stage", units=(Unit(needs={"CPU": 1.0}, count=2),), together=True)
WAITS = replace(IDLE, demand=DemandFigures(waiting=(BARRIER,)))
ASKS = replace(IDLE, demand=DemandFigures(floor=(BARRIER,)))
COMES = ClusterView(cluster=CLUSTER, workers_wanted=2, workers_joined=1, workers_coming=1)


@pytest.mark.parametrize("status", [WAITS, ASKS, replace(IDLE, queued=4)])
def test_program_that_waits_for_a_worker_on_its_way_is_not_idle(
    clock: Clock, status: FrameworkStatus
) -> None:
    stage = Stage(clock, idle_release_s=10.0, start_within_s=60.0)
    stage.used.program_cores, stage.told.view = 0.001, COMES
    for second in range(59):
        stage.look(second, status)
    assert (stage.api.ran, stage.told.messages) == ([], [])


def test_worker_that_comes_for_nothing_that_waits_keeps_no_idle_program(clock: Clock) -> None:
    stage = Stage(clock, idle_release_s=10.0, start_within_s=60.0)
    stage.used.program_cores, stage.told.view = 0.001, COMES
    for second in range(12):
        stage.look(second)
    assert len(stage.api.ran) == 1


def test_worker_that_never_comes_is_told_and_then_the_program_is_idle(clock: Clock) -> None:
    stage = Stage(clock, idle_release_s=10.0, start_within_s=60.0)
    waiting = WaitingView(message="worker-1: pool compute grows 1 → 2")
    stage.used.program_cores, stage.told.view = 0.001, replace(COMES, waiting=waiting)
    for second in range(72):
        stage.look(second, WAITS)
    why = "no work for 5.0s (worker-1: pool compute grows 1 → 2); idle limit is 10s"
    assert stage.told.messages == [why]
    ((_, _, change),) = stage.api.merged
    reason, detail = ended_because(change["metadata"]["annotations"]) or (None, "")
    assert reason is Reason.IDLE
    assert "(worker-1: pool compute grows 1 → 2)" in detail


def test_time_in_which_the_head_is_silent_is_not_idle(clock: Clock) -> None:
    stage = Stage(clock, idle_release_s=10.0)
    stage.used.program_cores = 0.001
    for second in range(60):
        stage.look(second, None)
    stage.look(61)
    stage.look(65)
    assert (stage.api.ran, stage.told.messages) == ([], [])


def test_an_answer_that_is_missed_now_and_then_does_not_begin_idle_time_anew(clock: Clock) -> None:
    stage = Stage(clock, idle_release_s=10.0)
    stage.used.program_cores = 0.001
    for second in range(13):
        stage.look(second) if second % 5 else stage.look(second, None)
    assert stage.api.ran == []
    for second in range(13, 16):
        stage.look(second)
    assert len(stage.api.ran) > 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"reason": "JOB:NONE", "detail": ""}'])
def test_annotation_that_is_none_of_ours_is_no_reason(text: str) -> None:
    assert ended_because({ENDED_BECAUSE: text}) is None
