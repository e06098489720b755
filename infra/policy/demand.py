"""How many workers what waits needs, and what can never run: pure.

The HPA's formula (``scaling``) sees use: CPU and memory. What reserves before it computes (a Ray
placement group, a Spark barrier stage, ``Client.wait_for_workers``) uses nothing while it waits,
and two hundred tasks that sleep use nothing either. This is the other question; the larger answer
wins.

Does not belong here: how a framework's words become demand (``infra.frameworks``).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ebbtide.infra.models.demand import TINY, Amounts, Demand, DemandFigures, Unit, fits
from ebbtide.infra.models.resources import format_duration, format_memory

CPU, MEMORY = "CPU", "memory"
_UNIT_NAMES = {
    "placement group": "bundle",
    "barrier stage": "slot",
    "request_resources": "bundle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a run may have at most."""

    offer: Amounts
    """What one empty worker offers."""
    tier: str
    max_workers: int
    bound: str
    """Why not more workers, such as ``--workers allows 5``."""
    target_backlog_s: float
    """More workers come when those there are would need longer than this for their tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotRun:
    """Something that waits for ever, whatever finishes."""

    who: str
    """What waits, such as ``task train``."""
    why: str
    """What it needs and what there is, as the rest of the sentence."""
    needs: Amounts | None = None
    """What one worker would have to offer; None when the workers are too few, not too small."""

    def __str__(self) -> str:
        return f"{self.who} {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What demand asks for."""

    workers: int = 0
    """In all, not more than the run may have."""
    reason: str = ""
    """For people: ``demand: placement group of 3 bundles of 1 CPU``; empty when nothing waits."""
    cannot_run: tuple[CannotRun, ...] = ()


def wanted(figures: DemandFigures, room: Room, *, unplaced_on: int = 0) -> Wanted:
    """How many workers there must be for all that waits and can run at all.

    Args:
        figures: what the head tells.
        room: what the run may have.
        unplaced_on: the number of workers there are, when all of them have registered and what
            waits has waited for a while: whatever is free on them, it does not fit there (two CPUs
            that are free on two workers hold no bundle of two). 0: not known.

    Returns:
        The number, its reason, and what can never run.
    """
    stuck = tuple(filter(None, (_cannot_run(d, room) for d in (*figures.waiting, *figures.floor))))
    waiting = [demand for demand in figures.waiting if _cannot_run(demand, room) is None]
    answers = [_for_waiting(figures, waiting, room, unplaced_on)]
    for demand in figures.floor:
        if _cannot_run(demand, room) is None:
            count = _pack([demand], room, [])
            answers.append((count, f"demand: {demand.kind} asks for {_asked(demand)}"))
    workers, reason = max(answers, key=lambda answer: answer[0])
    workers = min(workers, room.max_workers)
    return Wanted(workers=workers, reason=reason if workers else "", cannot_run=stuck)


def fitting(problem: CannotRun, offers: Mapping[str, Amounts]) -> str:
    """Name the first tier whose worker could take it; empty when none could.

    Args:
        problem: what cannot run.
        offers: what an empty worker of each tier offers, the smallest tier first.

    Returns:
        The tier's name.
    """
    if problem.needs is None:
        return ""
    needs = problem.needs
    return next((name for name, offer in offers.items() if fits(needs, offer)), "")


def amounts_text(amounts: Amounts) -> str:
    """Resources for people: ``1 CPU, 2.3 GiB, GPU 1``."""
    parts = [f"{amounts[CPU]:g} CPU"] if amounts.get(CPU) else []
    if amounts.get(MEMORY):
        parts.append(format_memory(int(amounts[MEMORY])))
    rest = [(name, value) for name, value in amounts.items() if name not in (CPU, MEMORY) and value]
    return ", ".join([*parts, *(f"{name} {value:g}" for name, value in rest)]) or "nothing"


def _for_waiting(
    figures: DemandFigures, waiting: Sequence[Demand], room: Room, unplaced_on: int
) -> tuple[int, str]:
    """Room for what runs, what stands in line for too long, and what waits beside it."""
    line = _slots_for_backlog(figures, room)
    running = math.ceil(figures.used.get(CPU, 0.0) - TINY)
    behind = Demand(kind="task", units=(Unit(needs={CPU: 1.0}, count=max(0, line - running)),))
    if not waiting:
        workers = math.ceil(line / room.offer[CPU] - TINY)
        work = format_duration(figures.backlog_s)
        target = format_duration(room.target_backlog_s)
        return workers, f"demand: {figures.backlog_tasks} tasks, {work} of work, target {target}"
    taken = [Amounts() for _ in range(unplaced_on)] or _lump(figures.used, room)
    return _pack([*waiting, behind], room, taken), f"demand: {_sentence(waiting)}"


def _slots_for_backlog(figures: DemandFigures, room: Room) -> int:
    """So many at once that all is done within the target; one task uses one at most."""
    slots = math.ceil(figures.backlog_s / room.target_backlog_s - TINY)
    return min(slots, figures.backlog_tasks)


def _lump(used: Amounts, room: Room) -> list[Amounts]:
    """What is free on as few workers as could hold what is used."""
    count = max((used.get(r, 0.0) / room.offer[r] for r in room.offer if room.offer[r]), default=0)
    whole = min(math.ceil(count - TINY), room.max_workers)
    free = [Amounts() for _ in range(whole)]
    if free:
        free[-1] = {r: have * whole - used.get(r, 0.0) for r, have in room.offer.items()}
    return free


def _pack(demands: Iterable[Demand], room: Room, free: list[Amounts]) -> int:
    """How many workers hold all of it, the first of them having ``free``; counts to one too many.

    First fit, the largest first: never less than is needed, and at most a little more.
    """
    bins = [dict(amounts) for amounts in free]
    for demand in demands:
        used: set[int] = set()
        for unit in sorted(demand.units, key=lambda unit: -_share(unit.needs, room)):
            left = _fill(unit, bins, used, apart=demand.apart)
            while left > 0 and len(bins) <= room.max_workers:
                bins.append(dict(room.offer))
                left = _fill(replace(unit, count=left), bins[-1:], set(), apart=demand.apart)
                used.add(len(bins) - 1)
    return len(bins)


def _fill(unit: Unit, bins: Sequence[Amounts], used: set[int], *, apart: bool) -> int:
    """Put units where they fit, and return how many are left.

    Args:
        unit: what, and how often.
        bins: what is free on each worker; becomes less.
        used: the workers that have a unit of the same demand; becomes more.
        apart: whether each of these may take one at most.

    Returns:
        The number of units that found no place.
    """
    left = unit.count
    for number, free in enumerate(bins):
        count = min(left, _how_often(unit.needs, free))
        if apart:
            count = min(count, 0 if number in used else 1)
        if count:
            used.add(number)
            left -= count
            for name, need in unit.needs.items():
                free[name] = free.get(name, 0.0) - need * count
    return left


def _how_often(needs: Amounts, free: Amounts) -> int:
    """How many units fit there; one that needs nothing fits as often as one likes."""
    times = [int((free.get(name, 0.0) + TINY) / need) for name, need in needs.items() if need]
    return max(0, min(times, default=sys.maxsize))


def _share(needs: Amounts, room: Room) -> float:
    return max(
        (need / room.offer[name] for name, need in needs.items() if name in room.offer), default=0
    )


def _cannot_run(demand: Demand, room: Room) -> CannotRun | None:
    who = f"{demand.kind} {demand.label}".strip()
    for unit in demand.units:
        if not fits(unit.needs, room.offer):
            why = (
                f"needs {amounts_text(unit.needs)};"
                f" a worker of tier {room.tier} offers {amounts_text(room.offer)}"
            )
            return CannotRun(who=who, why=why, needs=unit.needs)
    needed = _pack([demand], room, []) if demand.together or demand.apart else 0
    if needed <= room.max_workers:
        return None
    why = f"needs {_asked(demand)} at once; {room.bound}"
    return CannotRun(who=who, why=why)


def _asked(demand: Demand) -> str:
    """Its units for people: ``3 bundles of 1 CPU``, ``3 workers``."""
    word = _UNIT_NAMES.get(demand.kind, "") or ("worker" if demand.apart else demand.kind)
    parts = []
    for unit in demand.units:
        of = f" of {amounts_text(unit.needs)}" if unit.needs else ""
        parts.append(f"{unit.count} {word}{'s' if unit.count != 1 else ''}{of}")
    return " and ".join(parts)


def _sentence(waiting: Sequence[Demand]) -> str:
    """The first that waits, and how many more."""
    first = waiting[0]
    named = f"{first.kind} of {_asked(first)}" if first.kind in _UNIT_NAMES else _asked(first)
    label = f" ({first.label})" if first.label else ""
    more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return f"{named}{label}{more}"
