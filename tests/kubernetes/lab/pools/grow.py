"""Which pool grows by how many nodes for which pods, and why others get none. Pure."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tests.kubernetes.lab.pools import fit
from tests.kubernetes.lab.pools.fit import Room
from tests.kubernetes.lab.pools.values import Pod, Pool, Timers

AT_MOST, BACKED_OFF = "max node group size reached", "in backoff after failed scale-up"


@dataclass(frozen=True, slots=True)
class Backoff:
    """A pool that is left alone after a failure."""

    until: float
    """Seconds since the epoch."""
    pause_s: float
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Growth:
    """One pool's next size, and the pods it is for."""

    pool: Pool
    target: int
    by: int
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one scan decides: one growth at most, as Cluster Autoscaler does."""

    growth: Growth | None = None
    refused: tuple[tuple[Pod, Counter[str]], ...] = ()
    """Pods that no pool helps, each with how many pools say what. Only when nothing grows."""


@dataclass(slots=True)
class _Option:
    pool: Pool
    pods: list[Pod] = field(default_factory=list)
    rooms: list[Room] = field(default_factory=list)

    def waste(self) -> float:
        """The mean share of CPU and memory that stays free on the new nodes."""
        whole = self.pool.allocatable()
        shares = [float(r.free[name] / whole[name]) for r in self.rooms for name in _WEIGHED]
        return sum(shares) / len(shares)


_WEIGHED = ("cpu", "memory")


def place(pending: Sequence[Pod], rooms: Sequence[Room]) -> tuple[list[Pod], dict[str, list[Pod]]]:
    """Pods that need new nodes, and those for which there is room, or will be, by room's name."""
    left = copy.deepcopy(list(rooms))
    waiting: list[Pod] = []
    placed: dict[str, list[Pod]] = {}
    for pod in pending:
        room = next((room for room in left if not fit.refusals(pod, room)), None)
        if room is None:
            waiting.append(pod)
        else:
            room.take(pod)
            placed.setdefault(room.name, []).append(pod)
    return waiting, placed


def plan(
    waiting: Sequence[Pod],
    pools: Sequence[Pool],
    targets: Mapping[str, int],
    backoffs: Mapping[str, Backoff],
) -> Plan:
    """Decide for the pods that need new nodes.

    Args:
        waiting: these pods.
        pools: all pools.
        targets: how many machines each pool has or awaits.
        backoffs: pools that are left alone for now.
    """
    skipped = {pool.name: _skip(pool, targets, backoffs) for pool in pools}
    options = [
        _fill(pool, waiting, pool.most - targets.get(pool.name, 0))
        for pool in pools
        if not skipped[pool.name]
    ]
    best = min((each for each in options if each.pods), key=_Option.waste, default=None)
    if best is not None:
        by = len(best.rooms)
        target = targets.get(best.pool.name, 0) + by
        return Plan(Growth(best.pool, target, by, tuple(best.pods)))
    return Plan(refused=tuple((pod, _reasons(pod, pools, skipped)) for pod in waiting))


def back_off(before: Backoff | None, timers: Timers, now: float, code: str, why: str) -> Backoff:
    """After a failure; each pause is twice the one before, up to a maximum."""
    pause_s = timers.backoff_s if before is None else before.pause_s * 2
    pause_s = min(pause_s, timers.most_backoff_s)
    return Backoff(now + pause_s, pause_s, code, why)


def _skip(pool: Pool, targets: Mapping[str, int], backoffs: Mapping[str, Backoff]) -> str:
    if targets.get(pool.name, 0) >= pool.most:
        return AT_MOST
    return BACKED_OFF if pool.name in backoffs else ""


def _fill(pool: Pool, waiting: Sequence[Pod], most: int) -> _Option:
    """First fit, the largest pods first, on at most so many new nodes."""
    option = _Option(pool)
    for pod in sorted(waiting, key=lambda each: -each.requests.get("cpu", Decimal(0))):
        room = next((room for room in option.rooms if not fit.refusals(pod, room)), None)
        if room is None:
            room = fit.template(pool)
            if len(option.rooms) == most or fit.refusals(pod, room):
                continue
            option.rooms.append(room)
        room.take(pod)
        option.pods.append(pod)
    return option


def _reasons(pod: Pod, pools: Sequence[Pool], skipped: Mapping[str, str]) -> Counter[str]:
    """One vote a pool: why it is left out, or why its machines do not suit."""
    found: Counter[str] = Counter()
    for pool in pools:
        skip = skipped[pool.name]
        found.update([skip] if skip else fit.refusals(pod, fit.template(pool)))
    return found
