"""When to add workers, when to let some go, and which: the HPA's formula, and demand beside it.

On Kubernetes the HPA itself decides; here the same rules run on figures of process trees. They are
those of kubernetes v1.34, pkg/controller/podautoscaler (replica_calculator.go, horizontal.go with
behaviors), with one difference that is named where it is made. What waits (``demand``) is a second
answer; the larger one wins, up at once and down through the same window.

Does not belong here: measuring, starting or stopping anything, reading a clock.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ebbtide.infra.models.cluster import AutoscalePolicy, WorkerFigures
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.policy.demand import Wanted

NO_DEMAND = Wanted()
_METRIC_NAMES = {"cpu": "CPU", "memory": "memory"}
_UP_PERIOD_S = 15.0
_UP_MIN_STEP = 4
_UP_FACTOR = 2.0
"""The HPA's default scale-up policy: the larger of +4 and +100 % in 15 seconds."""
STEP_PERIOD_S = 60
"""``scale_up_step`` and ``scale_down_step`` are for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingState:
    """What the windows remember between two decisions. Times are the caller's ``now_s``."""

    recommendations: tuple[tuple[float, int], ...] = ()
    """When, and how many workers the formula proposed."""
    additions: tuple[tuple[float, int], ...] = ()
    """When, and how many workers were added."""
    removals: tuple[tuple[float, int], ...] = ()
    """When, and how many workers were let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many workers there should be, and why."""

    desired: int
    reason: str
    """For people, with the numbers: ``CPU 97 %``, ``CPU 11 % for 10s``."""
    metric: str
    """``cpu``, ``memory``, ``demand``, or empty when none decided."""
    cpu_percent: float
    """Average over the ready workers."""
    memory_percent: float
    state: ScalingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Leavers:
    """Who goes, and who would have gone but must stay."""

    names: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]
    """Name and reason of each that was passed over."""


@dataclass(frozen=True, slots=True)
class _Proposal:
    replicas: int
    metric: str
    text: str
    """For people: ``CPU 97 %``."""


def decide(
    policy: AutoscalePolicy,
    workers: Sequence[WorkerFigures],
    declared: int,
    state: ScalingState,
    now_s: float,
    demand: Wanted = NO_DEMAND,
) -> Decision:
    """Decide how many workers there should be, from one look at all of them.

    Args:
        policy: bounds, targets, tolerance and the scale-down window.
        workers: every worker that is not leaving, ready or not.
        declared: how many are wanted now (``spec.replicas``).
        state: that of the previous decision; ``ScalingState()`` at first.
        now_s: monotonic seconds.
        demand: what waits; counts when ``policy.scale_on`` says so.

    Returns:
        The decision, with its reason and the state for the next call.
    """
    proposal = _largest(policy, workers, declared, demand)
    proposed = declared if proposal is None else proposal.replicas
    down = _recent(state, policy.scale_down_window_s, declared, now_s)
    desired = declared
    if proposed > declared:
        # The HPA's limits are for figures that follow what it does; demand says what it needs.
        asked = demand.workers if "demand" in policy.scale_on else 0
        up = _recent(state, policy.scale_up_window_s, declared, now_s)
        steady = max(declared, min([proposed, *(count for _, count in up)]))
        desired = max(asked, min(steady, _rate_limit(policy, declared, state, now_s)))
    elif proposed < declared:
        lowest = max([proposed, *(count for _, count in down)])
        desired = min(declared, max(lowest, _step_limit(policy, declared, state, now_s)))
    desired = max(policy.min_workers, min(policy.max_workers, desired))
    decided = proposal is not None and desired != declared
    return Decision(
        desired=desired,
        reason=_reason(policy, declared, desired, proposal),
        metric=proposal.metric if proposal is not None and decided else "",
        cpu_percent=_average([worker.cpu_percent for worker in workers if worker.ready]),
        memory_percent=_average([worker.memory_percent for worker in workers if worker.ready]),
        state=ScalingState(
            recommendations=(*_kept(policy, state, declared, now_s), (now_s, proposed)),
            additions=_changes(state.additions, desired - declared, now_s, STEP_PERIOD_S),
            removals=_changes(state.removals, declared - desired, now_s, STEP_PERIOD_S),
        ),
    )


def choose_leavers(workers: Sequence[WorkerFigures], count: int) -> Leavers:
    """Choose which workers leave: the idlest first, and never one that must stay.

    Workers that have not registered go before all others: they have nothing to lose. Among equals
    the newest goes.
    """
    names: list[str] = []
    kept: list[tuple[str, str]] = []
    for worker in sorted(workers, key=_idleness):
        if len(names) >= count:
            break
        if worker.stays_because:
            kept.append((worker.name, worker.stays_because))
        else:
            names.append(worker.name)
    return Leavers(names=tuple(names), kept=tuple(kept))


def targets_text(policy: AutoscalePolicy) -> str:
    """What the number of workers follows, for people: ``80 % CPU, 80 % memory or demand``."""
    texts = {
        "cpu": f"{policy.target_cpu_percent:g} % CPU",
        "memory": f"{policy.target_memory_percent:g} % memory",
        "demand": "demand",
    }
    *first, last = [texts[what] for what in policy.scale_on]
    return f"{', '.join(first)} or {last}" if first else last


def _largest(
    policy: AutoscalePolicy, workers: Sequence[WorkerFigures], declared: int, demand: Wanted
) -> _Proposal | None:
    """Return the proposal that wants the largest number; None where nothing is known."""
    by_use = max(_by_use(policy, workers, declared), key=_replicas, default=None)
    if "demand" not in policy.scale_on:
        return by_use
    by_demand = _Proposal(demand.workers, "demand", demand.reason or "no demand")
    if by_use is None and policy.scale_on != ("demand",) and demand.workers <= declared:
        return None  # without figures it may grow, and nobody knows whether it may shrink
    if by_use is None or by_demand.replicas > by_use.replicas:
        return by_demand
    return by_use


def _by_use(
    policy: AutoscalePolicy, workers: Sequence[WorkerFigures], declared: int
) -> list[_Proposal]:
    """Return what the metrics of the policy propose; nothing without figures."""
    ready = [worker for worker in workers if worker.ready]
    if not ready:
        return []
    rest = (len(workers) - len(ready), declared, policy.tolerance)
    figures = {
        "cpu": ([worker.cpu_percent for worker in ready], policy.target_cpu_percent),
        "memory": ([worker.memory_percent for worker in ready], policy.target_memory_percent),
    }
    return [
        _propose(metric, use, target, rest)
        for metric, (use, target) in figures.items()
        if metric in policy.scale_on
    ]


def _propose(
    metric: str, use: list[float], target: float, rest: tuple[int, int, float]
) -> _Proposal:
    """Return the number of workers one metric asks for, as GetResourceReplicas computes it."""
    unready, declared, tolerance = rest
    percent = _average(use)
    replicas = declared
    ratio = percent / target
    if unready and ratio > 1:
        # Growing: those that are still coming count as idle, or every slow start adds more.
        counted = len(use) + unready
        spread = sum(use) / counted / target
        grown = math.ceil(_tidy(spread * counted))
        if spread > 1 + tolerance and grown > declared:
            replicas = grown
    elif unready:
        # The HPA would multiply by the ready ones only and shrink to less than the load needs; its
        # five minutes of stabilisation hide that. Windows here may be short, so: wait for them.
        replicas = declared
    elif not 1 - tolerance <= ratio <= 1 + tolerance:
        replicas = math.ceil(_tidy(ratio * len(use)))
    return _Proposal(replicas, metric, f"{_METRIC_NAMES[metric]} {percent:.0f} %")


def _replicas(proposal: _Proposal) -> int:
    return proposal.replicas


def _recent(
    state: ScalingState, window_s: float, declared: int, now_s: float
) -> tuple[tuple[float, int], ...]:
    """Return proposals inside a window; at first what is declared counts as one."""
    known = state.recommendations or ((now_s, declared),)
    return tuple((at_s, count) for at_s, count in known if at_s > now_s - window_s)


def _kept(
    policy: AutoscalePolicy, state: ScalingState, declared: int, now_s: float
) -> tuple[tuple[float, int], ...]:
    """Return the proposals that the longer of both windows needs."""
    longest_s = max(policy.scale_down_window_s, policy.scale_up_window_s)
    return _recent(state, longest_s, declared, now_s)


def _step_limit(policy: AutoscalePolicy, declared: int, state: ScalingState, now_s: float) -> int:
    """Return how many have to stay in this minute."""
    if policy.scale_down_step is None:
        return 0
    gone = sum(count for _, count in _changes(state.removals, 0, now_s, STEP_PERIOD_S))
    return declared - max(0, policy.scale_down_step - gone)


def _rate_limit(policy: AutoscalePolicy, declared: int, state: ScalingState, now_s: float) -> int:
    """Return how many there may be now."""
    if policy.scale_up_step is not None:
        come = sum(count for _, count in _changes(state.additions, 0, now_s, STEP_PERIOD_S))
        return declared + max(0, policy.scale_up_step - come)
    before = declared - sum(n for _, n in _changes(state.additions, 0, now_s, _UP_PERIOD_S))
    return max(declared, before + _UP_MIN_STEP, math.ceil(before * _UP_FACTOR))


def _changes(
    known: tuple[tuple[float, int], ...], change: int, now_s: float, period_s: float
) -> tuple[tuple[float, int], ...]:
    kept = tuple((at_s, n) for at_s, n in known if at_s > now_s - period_s)
    return (*kept, (now_s, change)) if change > 0 else kept


def _reason(
    policy: AutoscalePolicy, declared: int, desired: int, proposal: _Proposal | None
) -> str:
    if proposal is None:
        if desired != declared:
            return f"outside of {policy.min_workers}..{policy.max_workers}"
        return "held: no worker has figures yet"
    text = proposal.text
    if desired > declared:
        return text
    if desired < declared:
        if declared > policy.max_workers:
            return f"at most {policy.max_workers} workers are allowed"
        return f"{text} for {format_duration(policy.scale_down_window_s)}"
    if proposal.replicas == declared:
        return f"held: {text}" + (", within tolerance" if proposal.metric != "demand" else "")
    if proposal.replicas > declared >= policy.max_workers:
        return f"held: {text}, at the maximum"
    return f"held: {text}, stabilising"


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _tidy(value: float) -> float:
    """Round away the dust of floating point, which would make ceil add a worker."""
    return round(value, 9)


def _idleness(worker: WorkerFigures) -> tuple[bool, int, int, int, float, int]:
    number = re.search(r"(\d+)$", worker.name)
    return (
        worker.ready,
        worker.running,
        worker.queued,
        worker.stored_bytes,
        worker.cpu_percent,
        -int(number[1]) if number else 0,
    )
