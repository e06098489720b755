"""The formula at its edges: exactly at the tolerance, at the end of a window; and what it says."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.cluster import AutoscalePolicy, WorkerFigures
from ebbtide.infra.policy.scaling import Decision, ScalingState, choose_leavers, decide

POLICY = AutoscalePolicy(min_workers=1, max_workers=1000, target_cpu_percent=100)
OLD = ScalingState(recommendations=((-1e6, 0),))
"""No window holds anything back: all that it remembers is long ago."""


def crew(*cpu: float, unready: int = 0, unready_cpu: float = 0.0) -> list[WorkerFigures]:
    ready = [
        WorkerFigures(name=f"worker-{i}", ready=True, cpu_percent=c) for i, c in enumerate(cpu)
    ]
    coming = [
        WorkerFigures(
            name=f"worker-{len(cpu) + i}",
            ready=False,
            cpu_percent=unready_cpu,
            memory_percent=unready_cpu,
        )
        for i in range(unready)
    ]
    return ready + coming


def once(workers: list[WorkerFigures], declared: int | None = None, **policy: float) -> Decision:
    bounds = {"min_workers": 1, "max_workers": 1000, "target_cpu_percent": 100}
    made = AutoscalePolicy(**{**bounds, **policy})  # type: ignore[arg-type]
    return decide(made, workers, len(workers) if declared is None else declared, OLD, 0.0)


# Tolerance ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cpu", "desired"), [(150, 2), (151, 4), (50, 2), (49, 1)])
def test_use_exactly_at_the_tolerance_changes_nothing(cpu: float, desired: int) -> None:
    """A tolerance of one half, which a binary fraction holds exactly."""
    assert once(crew(cpu, cpu), tolerance=0.5).desired == desired


@pytest.mark.parametrize(("cpu", "desired"), [(88, 2), (88.1, 3), (72, 2), (39.9, 1)])
def test_edges_of_the_hpas_tolerance_belong_to_it(cpu: float, desired: int) -> None:
    """As kubernetes v1.34 has it: 0.9 <= ratio <= 1.1; 88 / 80 - 1 is a little over 0.1."""
    assert once(crew(cpu, cpu), target_cpu_percent=80).desired == desired


@pytest.mark.parametrize(("cpu", "desired"), [(300, 4), (304, 7)])
def test_tolerance_is_judged_with_newcomers_as_idle(cpu: float, desired: int) -> None:
    assert once(crew(cpu, cpu, unready=2), tolerance=0.5).desired == desired


def test_newcomers_that_bring_use_within_tolerance_stop_growth() -> None:
    assert once(crew(140, 140, 140, unready=1)).desired == 4


def test_growth_goes_on_beside_newcomers_when_use_is_less_than_twice_the_target() -> None:
    assert once(crew(180, 180, 180, unready=1)).desired == 6


def test_newcomers_that_are_declared_but_not_there_are_not_counted() -> None:
    assert once(crew(150, 150), declared=5).desired == 3


# Windows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now_s", "desired"), [(14.9, 6), (15.0, 12)])
def test_growth_is_forgotten_after_exactly_fifteen_seconds(now_s: float, desired: int) -> None:
    first = decide(POLICY, crew(500, 500), 2, ScalingState(), 0.0)
    assert decide(POLICY, crew(*[500.0] * 6), 6, first.state, now_s).desired == desired


def test_growth_by_one_worker_counts_in_the_next_fifteen_seconds() -> None:
    first = decide(POLICY, crew(*[112.0] * 8), 8, ScalingState(), 0.0)
    again = decide(POLICY, crew(*[900.0] * 9), 9, first.state, 5.0)
    assert (first.desired, again.desired) == (9, 16)


def test_growth_at_its_limit_takes_nobody_away() -> None:
    """Eight came at once (the minimum was raised), and from three only four would have been due."""
    state = ScalingState(recommendations=((-1e6, 0),), additions=((0.0, 8),))
    assert decide(POLICY, crew(*[500.0] * 11), 11, state, 5.0).desired == 11


def test_only_growth_is_remembered_as_growth() -> None:
    for cpu in (100, 10):
        assert once(crew(cpu, cpu)).state.additions == ()


@pytest.mark.parametrize(("now_s", "desired"), [(59.9, 4), (60.0, 1)])
def test_proposal_leaves_the_window_exactly_at_its_end(now_s: float, desired: int) -> None:
    policy = AutoscalePolicy(scale_down_window_s=60)
    state = ScalingState(recommendations=((0.0, 4), (50.0, 1)))
    assert decide(policy, crew(1, 1, 1, 1), 4, state, now_s).desired == desired


def test_first_look_takes_what_is_declared_as_a_proposal() -> None:
    assert decide(POLICY, crew(1, 1, 1), 3, ScalingState(), 0.0).desired == 3


# What it says ---------------------------------------------------------------------------------


def test_averages_are_those_of_the_ready_workers() -> None:
    ready = [
        WorkerFigures(name=f"worker-{n}", ready=True, cpu_percent=cpu, memory_percent=memory)
        for n, (cpu, memory) in enumerate([(100, 20), (50, 40)])
    ]
    decision = once(ready + crew(unready=2, unready_cpu=900))
    assert (decision.cpu_percent, decision.memory_percent) == (75, 30)


@pytest.mark.parametrize("workers", [[], crew(unready=2)], ids=["nobody", "nobody ready"])
def test_without_ready_workers_the_averages_are_zero(workers: list[WorkerFigures]) -> None:
    decision = once(workers, declared=2)
    assert (decision.cpu_percent, decision.memory_percent) == (0, 0)


def test_metric_is_named_only_by_a_decision() -> None:
    assert [once(crew(cpu)).metric for cpu in (100, 200)] == ["", "cpu"]


def test_growth_for_memory_says_so() -> None:
    full = WorkerFigures(name="worker-0", ready=True, memory_percent=160)
    decision = once([full])
    assert (decision.reason, decision.metric) == ("memory 160 %", "memory")


@pytest.mark.parametrize(
    ("cpu", "declared", "reason"),
    [
        ([100, 100], 2, "held: CPU 100 %, within tolerance"),
        ([200, 200, 200], 3, "held: CPU 200 %, at the maximum"),
        ([10, 10, 10], 3, "CPU 10 % for 5m"),
        ([10, 10, 10, 10], 4, "at most 3 workers are allowed"),
        ([], 4, "outside of 1..3"),
        ([], 0, "outside of 1..3"),
        ([], 3, "held: no worker has figures yet"),
    ],
    ids=[
        "within tolerance", "at the maximum", "shrinks from the maximum", "above the maximum",
        "above, no figures", "below, no figures", "no figures",
    ],
)  # fmt: skip
def test_reason_tells_what_decided(cpu: list[float], declared: int, reason: str) -> None:
    assert once(crew(*cpu), declared, max_workers=3).reason == reason


# Who leaves -----------------------------------------------------------------------------------


def test_nobody_leaves_when_nobody_has_to() -> None:
    stays = WorkerFigures(name="worker-1", ready=True, stays_because="it holds an actor")
    leavers = choose_leavers([stays], 0)
    assert (leavers.names, leavers.kept) == ((), ())


def test_those_that_are_busier_than_the_last_leaver_are_not_named_as_kept() -> None:
    idle = WorkerFigures(name="worker-1", ready=True)
    stays = WorkerFigures(name="worker-2", ready=True, running=1, stays_because="it holds an actor")
    assert choose_leavers([idle, stays], 1).kept == ()
