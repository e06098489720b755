"""What holds for every load, not only for the worked cases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.infra.models.cluster import AutoscalePolicy, WorkerFigures
from ebbtide.infra.policy.scaling import ScalingState, choose_leavers, decide

PERCENT = st.floats(0, 1000)
POLICY = AutoscalePolicy(min_workers=2, max_workers=9, scale_down_window_s=60)
FIGURES = st.builds(
    WorkerFigures,
    name=st.uuids().map(str),
    ready=st.booleans(),
    cpu_percent=PERCENT,
    memory_percent=PERCENT,
    running=st.integers(0, 3),
    stored_bytes=st.integers(0, 10**9),
    stays_because=st.sampled_from(["", "", "it holds an actor"]),
)
WORKERS = st.lists(FIGURES, max_size=12)
LOADS = st.lists(st.tuples(PERCENT, PERCENT), min_size=1, max_size=30)


@given(WORKERS, st.integers(1, 12))
def test_desired_is_always_within_bounds(workers: list[WorkerFigures], declared: int) -> None:
    decision = decide(POLICY, workers, declared, ScalingState(), 0.0)
    assert POLICY.min_workers <= decision.desired <= POLICY.max_workers


@given(LOADS, st.floats(1, 20))
def test_never_fewer_than_any_proposal_of_the_window(
    loads: list[tuple[float, float]], step_s: float
) -> None:
    state, count, now_s = ScalingState(), 4, 0.0
    for cpu, memory in loads:
        workers = [
            WorkerFigures(name=f"w-{i}", ready=True, cpu_percent=cpu, memory_percent=memory)
            for i in range(count)
        ]
        before = [n for at, n in state.recommendations if at > now_s - POLICY.scale_down_window_s]
        decision = decide(POLICY, workers, count, state, now_s)
        floor = min([count, *([max(before)] if before else [])])
        assert decision.desired >= min(floor, POLICY.max_workers)
        state, count, now_s = decision.state, decision.desired, now_s + step_s


@given(PERCENT, PERCENT, st.integers(1, 9))
def test_more_use_never_means_fewer_workers(one: float, other: float, count: int) -> None:
    low, high = sorted((one, other))

    def desired(cpu: float) -> int:
        workers = [WorkerFigures(name=f"w-{i}", ready=True, cpu_percent=cpu) for i in range(count)]
        old = ScalingState(recommendations=((-1000.0, 0),))
        return decide(POLICY, workers, count, old, 0.0).desired

    assert desired(low) <= desired(high)


@given(WORKERS, st.integers(0, 12))
def test_leavers_are_few_enough_distinct_and_free_to_go(
    workers: list[WorkerFigures], count: int
) -> None:
    names = choose_leavers(workers, count).names
    free = {worker.name for worker in workers if not worker.stays_because}
    assert len(names) == len(set(names)) == min(count, len(free))
    assert set(names) <= free
