"""How low the HPA may go: what waits and what cannot move, between the run's own bounds."""

from __future__ import annotations

from typing import cast

import pytest

from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.tending.scaling import floor as floor_module
from ebbtide.infra.platforms.kubernetes.tending.scaling.floor import Floor, FloorState, decide
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.demand import Wanted
from tests.unit.platforms.tending.fakes import (
    CLUSTER,
    Clock,
    FakeApi,
    Told,
    autoscaler,
    deployment,
    says,
)

POLICY = AutoscalePolicy(min_workers=1, max_workers=6, scale_down_window_s=60)
NOTHING = FloorState()
FIVE = Wanted(workers=5, reason="demand: 5 tasks")
LOWERED = says("ScalingLimited", "True", "TooFewReplicas")


def test_demand_raises_the_floor_at_once() -> None:
    found = decide(POLICY, FIVE, 0, NOTHING, 0.0)
    assert (found.workers, found.reason) == (5, "demand: 5 tasks")


def test_demand_that_has_gone_keeps_it_for_the_window() -> None:
    before = decide(POLICY, FIVE, 0, NOTHING, 0.0).state
    within = decide(POLICY, Wanted(), 0, before, 59.0)
    after = decide(POLICY, Wanted(), 0, within.state, 61.0)
    assert (within.workers, within.reason) == (5, "demand: 5 tasks")
    assert (after.workers, after.reason) == (1, "")


def test_the_memory_of_a_long_run_is_short() -> None:
    state = NOTHING
    for second in range(600):
        state = decide(POLICY, Wanted(workers=second % 4), 0, state, second / 100).state
    assert len(state.wanted) <= 5


@pytest.mark.parametrize(("asked", "floor"), [(0, 1), (9, 6)])
def test_floor_is_between_the_bounds_of_the_run(asked: int, floor: int) -> None:
    assert decide(POLICY, Wanted(workers=asked), 0, NOTHING, 0.0).workers == floor


def test_without_demand_in_scale_on_only_what_cannot_move_counts() -> None:
    policy = AutoscalePolicy(max_workers=6, scale_on=("cpu",))
    assert decide(policy, FIVE, 0, NOTHING, 0.0).workers == 1
    found = decide(policy, FIVE, 3, NOTHING, 0.0)
    assert (found.workers, found.held) == (3, True)


class Stage:
    """A floor, its server and its run."""

    def __init__(self) -> None:
        self.api, self.told = FakeApi(), Told()
        reporter = cast(StatusReporter, self.told)
        self.floor = Floor(cast(Api, self.api), CLUSTER, POLICY, reporter)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(floor_module, "now_s", made)
    return made


@pytest.fixture
def stage(clock: Clock) -> Stage:
    del clock  # it stands still
    return Stage()


def test_a_raised_floor_lets_the_workers_come_without_waiting_for_the_hpa(stage: Stage) -> None:
    stage.floor.tick(autoscaler(), deployment(2), FIVE, {})
    assert stage.api.merged == [
        ("HorizontalPodAutoscaler", "heron-1-worker", {"spec": {"minReplicas": 5}}),
        (
            "Deployment/scale",
            "heron-1-worker",
            {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}},
        ),
    ]


def test_where_there_are_more_workers_already_only_the_floor_is_written(stage: Stage) -> None:
    stage.floor.tick(autoscaler(), deployment(6), FIVE, {})
    assert [kind for kind, _, _ in stage.api.merged] == ["HorizontalPodAutoscaler"]


def test_it_is_written_once_also_before_the_watch_has_brought_it_back(stage: Stage) -> None:
    for _ in range(3):
        stage.floor.tick(autoscaler(), deployment(6), FIVE, {})
    stage.floor.tick(autoscaler(minimum=5), deployment(6), FIVE, {})
    assert len(stage.api.merged) == 1


def test_what_somebody_else_wrote_is_put_right(stage: Stage, clock: Clock) -> None:
    stage.floor.tick(autoscaler(), deployment(6), FIVE, {})
    clock.now_s += 10
    stage.floor.tick(autoscaler(minimum=2), deployment(6), FIVE, {})
    assert len(stage.api.merged) == 2


def test_a_server_that_is_away_is_asked_again(stage: Stage) -> None:
    stage.api.away = True
    stage.floor.tick(autoscaler(), deployment(6), FIVE, {})
    stage.api.away = False
    stage.floor.tick(autoscaler(), deployment(6), FIVE, {})
    assert len(stage.api.merged) == 1


def test_nothing_is_written_before_there_is_an_hpa(stage: Stage) -> None:
    stage.floor.tick(None, deployment(2), FIVE, {})
    assert stage.api.merged == []


def test_why_workers_stay_is_told_once_and_only_when_the_hpa_would_let_them_go(
    stage: Stage,
) -> None:
    staying = {"worker-1": "it has an actor", "worker-0": "it is in a shuffle"}
    stage.floor.tick(autoscaler(), deployment(3), Wanted(), staying)
    assert stage.told.messages == []
    for _ in range(2):
        lowered = autoscaler(conditions=[LOWERED])
        stage.floor.tick(lowered, deployment(3), Wanted(), staying)
    assert stage.told.messages == [
        "worker-0 stays: it is in a shuffle; worker-1 stays: it has an actor"
    ]
