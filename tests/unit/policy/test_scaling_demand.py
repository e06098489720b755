"""Use and demand together: the larger answer wins, up at once and down through the window."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebbtide.infra.models.cluster import AutoscalePolicy, WorkerFigures
from ebbtide.infra.policy.demand import Wanted
from ebbtide.infra.policy.scaling import NO_DEMAND, Decision, ScalingState, decide, targets_text

POLICY = AutoscalePolicy(min_workers=1, max_workers=20, scale_down_window_s=60)
OLD = ScalingState(recommendations=((-1e6, 0),))
"""Of a window that holds nothing back."""


def crew(count: int, cpu: float = 0.0, ready: bool = True) -> list[WorkerFigures]:
    return [WorkerFigures(name=f"worker-{n}", ready=ready, cpu_percent=cpu) for n in range(count)]


def asked(workers: int) -> Wanted:
    return Wanted(workers=workers, reason=f"demand: {workers} actors of 1 CPU")


def once(
    workers: list[WorkerFigures],
    demand: Wanted,
    policy: AutoscalePolicy = POLICY,
    state: ScalingState = OLD,
) -> Decision:
    return decide(policy, workers, len(workers), state, 0.0, demand)


def test_demand_brings_all_its_workers_at_once() -> None:
    decision = once(crew(1), asked(12))
    assert (decision.desired, decision.metric) == (12, "demand")
    assert decision.reason == "demand: 12 actors of 1 CPU"


def test_larger_of_use_and_demand_wins() -> None:
    assert once(crew(4, cpu=160), asked(3)).desired == 8
    assert once(crew(4, cpu=160), asked(9)).desired == 9


def test_limit_of_growth_by_use_does_not_hold_demand_back() -> None:
    assert once(crew(1, cpu=1600), asked(9)).desired == 9


def test_demand_never_exceeds_the_maximum() -> None:
    assert once(crew(1), asked(20), replace(POLICY, max_workers=3)).desired == 3


def test_idle_workers_stay_while_they_are_in_demand() -> None:
    assert once(crew(3), asked(3)).desired == 3
    assert once(crew(3), asked(2)).desired == 2


def test_demand_that_has_just_ended_holds_workers_for_the_window() -> None:
    state = once(crew(3), asked(3)).state
    assert decide(POLICY, crew(3), 3, state, 59.0, NO_DEMAND).desired == 3
    later = decide(POLICY, crew(3), 3, state, 61.0, NO_DEMAND)
    assert (later.desired, later.reason) == (1, "CPU 0 % for 1m")


def test_workers_without_figures_are_added_by_demand_and_never_removed() -> None:
    coming = crew(2, ready=False)
    assert once(coming, asked(4)).desired == 4
    assert once(coming, asked(1)).desired == 2
    assert once(coming, NO_DEMAND).desired == 2


@pytest.mark.parametrize(
    ("scale_on", "desired"),
    [
        (("cpu", "memory"), 4),
        (("cpu", "memory", "demand"), 6),
        (("demand",), 6),
        (("memory",), 1),
        (("cpu",), 4),
    ],
)
def test_scale_on_chooses_what_counts(scale_on: tuple[str, ...], desired: int) -> None:
    policy = replace(POLICY, scale_on=scale_on)
    assert once(crew(2, cpu=160), asked(6), policy).desired == desired


def test_demand_alone_lets_idle_and_busy_workers_go() -> None:
    decision = once(crew(3, cpu=100), NO_DEMAND, replace(POLICY, scale_on=("demand",)))
    assert (decision.desired, decision.reason) == (1, "no demand for 1m")


@pytest.mark.parametrize(
    ("scale_on", "text"),
    [
        (("cpu", "memory", "demand"), "80 % CPU, 80 % memory or demand"),
        (("cpu", "memory"), "80 % CPU or 80 % memory"),
        (("demand",), "demand"),
    ],
)
def test_what_it_follows_is_told(scale_on: tuple[str, ...], text: str) -> None:
    assert targets_text(replace(POLICY, scale_on=scale_on)) == text
