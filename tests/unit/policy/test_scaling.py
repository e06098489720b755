"""The HPA's worked cases: its documentation's, and those of replica_calculator_test.go."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.cluster import AutoscalePolicy, WorkerFigures
from ebbtide.infra.policy.demand import Wanted
from ebbtide.infra.policy.scaling import Decision, ScalingState, choose_leavers, decide

WIDE = AutoscalePolicy(min_workers=1, max_workers=1000, target_cpu_percent=50)


def workers(*cpu: float, memory: float = 0.0, unready: int = 0) -> list[WorkerFigures]:
    ready = [
        WorkerFigures(name=f"worker-{i}", ready=True, cpu_percent=use, memory_percent=memory)
        for i, use in enumerate(cpu)
    ]
    coming = [WorkerFigures(name=f"worker-{len(cpu) + i}", ready=False) for i in range(unready)]
    return ready + coming


def once(policy: AutoscalePolicy, workers: list[WorkerFigures]) -> Decision:
    """A decision that no window holds back: its recommendations are all old."""
    old = ScalingState(recommendations=((-1e6, 0),))
    return decide(policy, workers, len(workers), old, 0.0)


@pytest.mark.parametrize(
    ("cpu", "target", "expected"),
    [
        pytest.param([200], 100, 2, id="doc: twice the target doubles"),
        pytest.param([50, 50], 100, 1, id="doc: half the target halves"),
        pytest.param([30, 50, 70], 30, 5, id="go: scale up"),
        pytest.param([100, 90, 110], 110, 3, id="go: 0.91 is within tolerance"),
        pytest.param([109, 109], 100, 2, id="just inside the upper tolerance"),
        pytest.param([111, 111], 100, 3, id="just outside the upper tolerance"),
        pytest.param([91, 91], 100, 2, id="just inside the lower tolerance"),
        pytest.param([10, 10, 10, 10, 10], 50, 1, id="go: scale down to one"),
        pytest.param([30, 30, 30, 30, 30], 50, 3, id="go: scale down"),
        pytest.param([87], 80, 1, id="80 % target does nothing at 87 %"),
        pytest.param([89], 80, 2, id="80 % target acts at 89 %"),
    ],
)
def test_desired_is_ceil_of_ratio_times_workers(
    cpu: list[float], target: float, expected: int
) -> None:
    policy = AutoscalePolicy(min_workers=1, max_workers=1000, target_cpu_percent=target)
    assert once(policy, workers(*cpu)).desired == expected


def test_growth_follows_the_known_sequence_when_use_is_capped_at_the_request() -> None:
    policy, state, count, seen = AutoscalePolicy(max_workers=1000), ScalingState(), 1, [1]
    for sync in range(10):
        decision = decide(policy, workers(*[100.0] * count), count, state, sync * 15.0)
        count, state = decision.desired, decision.state
        seen.append(count)
    assert seen == [1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24]


def test_larger_proposal_of_cpu_and_memory_wins() -> None:
    decision = once(WIDE, workers(60, 60, memory=160))
    assert (decision.desired, decision.metric) == (4, "memory")


def test_workers_that_are_coming_count_as_idle_when_growing() -> None:
    assert once(WIDE, workers(30, 50, 70, unready=0)).desired == 3
    assert once(WIDE, workers(100, 100, unready=2)).desired == 4


def test_growth_goes_on_when_even_idle_newcomers_do_not_suffice() -> None:
    assert once(WIDE, workers(150, 150, unready=1)).desired == 6


def test_nobody_leaves_while_workers_are_still_coming() -> None:
    """Multiplying by the ready ones only would say ceil(0.75 * 4) = 3 of 10."""
    policy = AutoscalePolicy(max_workers=20)
    assert once(policy, workers(60, 60, 60, 60, unready=6)).desired == 10


def test_nothing_changes_without_figures() -> None:
    decision = once(WIDE, workers(unready=3))
    assert decision.desired == 3
    assert "no worker has figures" in decision.reason


def test_growth_is_at_most_four_or_double_in_fifteen_seconds() -> None:
    first = decide(WIDE, workers(*[500.0] * 2), 2, ScalingState(), 0.0)
    again = decide(WIDE, workers(*[500.0] * 6), 6, first.state, 5.0)
    later = decide(WIDE, workers(*[500.0] * 6), 6, again.state, 16.0)
    assert (first.desired, again.desired, later.desired) == (6, 6, 12)


def test_dip_shorter_than_the_window_removes_nobody() -> None:
    policy, state = AutoscalePolicy(scale_down_window_s=60), ScalingState()
    busy = decide(policy, workers(80, 80, 80), 3, state, 0.0)
    dip = decide(policy, workers(10, 10, 10), 3, busy.state, 30.0)
    assert dip.desired == 3
    assert "stabilising" in dip.reason


def test_shrink_comes_when_the_window_has_passed_and_says_why() -> None:
    policy, state = AutoscalePolicy(scale_down_window_s=10), ScalingState()
    for now_s in range(0, 12, 2):
        decision = decide(policy, workers(11, 11, 11), 3, state, float(now_s))
        state = decision.state
    assert (decision.desired, decision.reason) == (1, "CPU 11 % for 10s")


def test_largest_proposal_of_the_window_is_kept() -> None:
    policy = AutoscalePolicy(max_workers=10, scale_down_window_s=100)
    state = ScalingState(recommendations=((0.0, 2), (50.0, 4), (60.0, 3)))
    assert decide(policy, workers(*[1.0] * 6), 6, state, 99.0).desired == 4


def test_peak_shorter_than_the_window_adds_nobody() -> None:
    policy, state = AutoscalePolicy(max_workers=9, scale_up_window_s=20), ScalingState()
    desired = []
    for now_s in range(0, 30, 5):
        decision = decide(policy, workers(160, 160), 2, state, float(now_s))
        state = decision.state
        desired.append(decision.desired)
    assert desired == [2, 2, 2, 2, 4, 4]


def test_demand_waits_for_no_window() -> None:
    policy = AutoscalePolicy(max_workers=9, scale_up_window_s=20)
    asked = Wanted(workers=5, reason="demand: 5 tasks")
    assert decide(policy, workers(10), 1, ScalingState(), 0.0, asked).desired == 5


def test_at_most_a_step_leaves_in_a_minute() -> None:
    policy = AutoscalePolicy(max_workers=9, scale_down_window_s=1, scale_down_step=2)
    state, declared, seen = ScalingState(), 8, []
    for now_s in range(0, 140, 5):
        decision = decide(policy, workers(*[1] * declared), declared, state, float(now_s))
        state, declared = decision.state, decision.desired
        seen.append(declared)
    assert sorted(set(seen), reverse=True) == [8, 6, 4, 2]
    assert seen.index(4) - seen.index(6) == seen.index(2) - seen.index(4) == 60 / 5


def test_at_most_a_step_comes_in_a_minute_for_use() -> None:
    policy = AutoscalePolicy(max_workers=9, scale_up_step=2)
    state, declared, seen = ScalingState(), 1, []
    for now_s in range(0, 140, 5):
        decision = decide(policy, workers(*[200] * declared), declared, state, float(now_s))
        state, declared = decision.state, decision.desired
        seen.append(declared)
    assert sorted(set(seen)) == [3, 5, 7]
    assert seen.index(7) - seen.index(5) == 60 / 5


def test_demand_is_not_bound_by_the_step() -> None:
    policy = AutoscalePolicy(max_workers=9, scale_up_step=1)
    asked = Wanted(workers=5, reason="demand: 5 tasks")
    assert decide(policy, workers(10), 1, ScalingState(), 0.0, asked).desired == 5


@pytest.mark.parametrize(("declared", "expected"), [(1, 2), (9, 5)])
def test_bounds_are_reached_at_once(declared: int, expected: int) -> None:
    policy = AutoscalePolicy(min_workers=2, max_workers=5)
    assert (
        decide(policy, workers(*[80.0] * declared), declared, ScalingState(), 0.0).desired
        == expected
    )


def test_reason_of_growth_names_the_metric_and_its_value() -> None:
    assert once(WIDE, workers(97)).reason == "CPU 97 %"


def worker(name: str, **figures: object) -> WorkerFigures:
    return WorkerFigures(name=name, **{"ready": True, **figures})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("idler", "busier"),
    [
        pytest.param({"running": 0}, {"running": 1}, id="running"),
        pytest.param({"queued": 1}, {"queued": 2}, id="queued"),
        pytest.param({"stored_bytes": 1}, {"stored_bytes": 2}, id="stored"),
        pytest.param({"cpu_percent": 1.0}, {"cpu_percent": 2.0}, id="cpu"),
        pytest.param({"ready": False, "running": 1}, {"running": 0}, id="never joined"),
    ],
)
def test_idlest_leaves_first(idler: dict[str, object], busier: dict[str, object]) -> None:
    crew_ = [worker("worker-9", **busier), worker("worker-1", **idler)]
    assert choose_leavers(crew_, 1).names == ("worker-1",)


def test_newest_leaves_first_among_equals_by_number_not_by_letter() -> None:
    assert choose_leavers([worker("worker-9"), worker("worker-10")], 1).names == ("worker-10",)


def test_worker_that_must_stay_is_passed_over_and_named() -> None:
    held = worker("worker-3", stays_because="it holds an actor")
    leavers = choose_leavers([held, worker("worker-1", running=2)], 1)
    assert leavers.names == ("worker-1",)
    assert leavers.kept == (("worker-3", "it holds an actor"),)
