"""What a run is told of the HPA: how many workers, why, and when it cannot decide."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.tending.scaling import events as module
from ebbtide.infra.platforms.kubernetes.tending.scaling.events import (
    ScalingEvents,
    autoscaler_text,
)
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from tests.unit.platforms.tending.fakes import (
    Clock,
    Told,
    autoscaler,
    deployment,
    says,
    used,
)

NO_FLOOR = (1, "")


class Stage:
    """The events of one cluster."""

    def __init__(self, clock: Clock):
        self.told, self.clock = Told(), clock
        policy = AutoscalePolicy(max_workers=8, scale_down_window_s=300)
        self.events = ScalingEvents(policy, cast(StatusReporter, self.told))

    def look(self, replicas: int, hpa: Object | None, floor: tuple[int, str] = NO_FLOOR) -> None:
        self.clock.now_s += 1
        self.events.tick(deployment(replicas), hpa, floor)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    clock = Clock()
    monkeypatch.setattr(module, "now_s", clock)
    return Stage(clock)


def hpa(desired: int, **percent: int) -> Object:
    return autoscaler(desiredReplicas=desired, currentMetrics=used(**percent))


def test_growth_is_told_with_the_metric_that_decided(stage: Stage) -> None:
    stage.look(1, hpa(1, cpu=50))
    stage.look(3, hpa(3, cpu=97, memory=20))
    assert stage.told.messages == ["workers 1 → 3   CPU 97 %"]


def test_shrinking_is_told_with_its_window(stage: Stage) -> None:
    stage.look(3, hpa(3, cpu=97))
    stage.look(1, hpa(1, cpu=11, memory=5))
    assert stage.told.messages == ["workers 3 → 1   CPU 11 % for 5m"]


def test_growth_by_the_floor_is_told_with_its_reason_before_the_hpa_says_anything(
    stage: Stage,
) -> None:
    stage.look(1, hpa(1))
    stage.look(4, hpa(1), (4, "demand: 4 tasks"))
    assert stage.told.messages == ["workers 1 → 4   demand: 4 tasks"]


def test_change_waits_for_the_status_that_tells_why(stage: Stage) -> None:
    stage.look(1, hpa(1, cpu=50))
    stage.look(2, hpa(1, cpu=50))
    assert stage.told.messages == []
    stage.look(2, hpa(2, cpu=130))
    assert stage.told.messages == ["workers 1 → 2   CPU 130 %"]


def test_change_by_somebody_else_is_told_as_such(stage: Stage) -> None:
    stage.look(1, hpa(1))
    for _ in range(8):
        stage.look(5, hpa(1))
    assert stage.told.messages == ["workers 1 → 5   not by the autoscaler"]


def test_what_there_is_before_the_hpa_is_no_change(stage: Stage) -> None:
    stage.look(1, None)
    stage.look(2, None)
    stage.look(2, hpa(2))
    assert stage.told.messages == []


def test_hpa_without_figures_is_told_after_a_while_and_once(stage: Stage) -> None:
    blind = autoscaler(
        desiredReplicas=1, conditions=[says("ScalingActive", "False", "Failed", "no metrics")]
    )
    for second in range(200):
        stage.look(1, blind)
        assert len(stage.told.events) == (second > 91)
    assert "no metrics" in stage.told.messages[0]


def test_hpa_that_cannot_scale_is_told_once_each_time(stage: Stage) -> None:
    able = autoscaler(desiredReplicas=1)
    stuck = autoscaler(conditions=[says("AbleToScale", "False", "FailedUpdateScale", "refused")])
    for each in (stuck, able, stuck):
        for _ in range(100):
            stage.look(1, each)
    assert stage.told.messages == ["the HPA cannot change the number of workers: refused"] * 2


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"currentMetrics": used(cpu=97)}, "3 of 1..8 workers, CPU 97 % of 80 %"),
        (
            {"conditions": [says("ScalingLimited", "True", "TooManyReplicas")]},
            "3 of 1..8 workers, at the maximum",
        ),
        (
            {"conditions": [says("AbleToScale", "True", "ScaleDownStabilized")]},
            "3 of 1..8 workers, stabilising",
        ),
        (
            {"conditions": [says("ScalingActive", "False", "FailedGetResourceMetric", "none")]},
            "3 of 1..8 workers, no figures (FailedGetResourceMetric: none)",
        ),
    ],
)
def test_hpa_is_one_line(status: dict[str, Any], text: str) -> None:
    assert autoscaler_text(autoscaler(desiredReplicas=3, **status)) == text
