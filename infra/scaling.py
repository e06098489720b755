"""stub"""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingState:
    recommendations: tuple = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    desired: int
    reason: str
    metric: str
    cpu_percent: float
    memory_percent: float
    state: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Leavers:
    names: tuple
    kept: tuple


def decide(policy, workers, declared, state, now_s):
    cpu = sum(w.cpu_percent for w in workers) / max(1, len(workers))
    want = (
        min(
            policy.max_workers,
            max(policy.min_workers, math.ceil(cpu / policy.target_cpu_percent * len(workers))),
        )
        if all(w.ready for w in workers)
        else declared
    )
    rec = (
        *[r for r in state.recommendations if now_s - r[0] < policy.scale_down_window_s],
        (now_s, want),
    )
    if want < declared:
        want = min(declared, max(r[1] for r in rec))
    return Decision(
        desired=want,
        reason=f"CPU {cpu:.0f} %",
        metric="cpu",
        cpu_percent=cpu,
        memory_percent=0,
        state=ScalingState(recommendations=rec),
    )


def choose_leavers(workers, count):
    return Leavers(
        names=tuple(
            w.name
            for w in sorted(workers, key=lambda w: (w.running, w.queued, w.stored_bytes))[:count]
        ),
        kept=(),
    )
