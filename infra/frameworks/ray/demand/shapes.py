"""What waits in a Ray cluster, from what its GCS knows. Pure.

Ray's names for resources are made those of ``infra.models.demand``: where something runs
(``node:10.0.0.7``) and the shadows of placement groups (``CPU_group_…``) are left out, a label
that a node must have is a resource of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ebbtide.infra.models.demand import TINY, Amounts, Demand, Unit, fits

_GROUP = re.compile(r"(.+)_group_(?P<index>\d+_)?[0-9a-f]{36}")
_NOT_NEEDED = ("node:", "object_store_memory", "bundle_group_")


@dataclass(frozen=True, slots=True)
class LabelNeed:
    """A label that a node must have, or must not have."""

    key: str
    values: tuple[str, ...]
    negated: bool = False

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels will do."""
        return (labels.get(self.key) in self.values) != self.negated

    def __str__(self) -> str:
        return f"label {'!' * self.negated}{self.key}={'|'.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Pending:
    """Tasks and actors of one shape that have no node."""

    resources: Amounts
    count: int
    labels: tuple[LabelNeed, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A placement group that has no nodes."""

    bundles: tuple[Amounts, ...]
    details: str
    """``ID:STRATEGY|STATE``."""


@dataclass(frozen=True, slots=True)
class WorkerNode:
    """A node that runs tasks."""

    total: Amounts
    available: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    leaving: bool = False
    held_by_actors: Amounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Tasks and actors that have no node, by what would help them."""

    waiting: tuple[Demand, ...]
    """A worker more, or nothing at all."""
    line_slots: float
    """Time: they stand in line for slots that there are."""


def needs_of(resources: Mapping[str, float]) -> Amounts:
    """What a task, an actor or a bundle takes from a node for itself."""
    named = {name: amount for name, amount in resources.items() if amount}
    return {
        name: amount
        for name, amount in named.items()
        if not name.startswith(_NOT_NEEDED) and not _GROUP.fullmatch(name)
    }


def in_group(resources: Iterable[str]) -> bool:
    """Whether it runs in a placement group: other nodes do not help it."""
    return any(_GROUP.fullmatch(name) for name in resources)


def used(nodes: Iterable[WorkerNode]) -> Amounts:
    """What tasks, actors and placement groups hold on all workers."""
    held: Counter[str] = Counter()
    for node in nodes:
        held.update({k: amount - node.available.get(k, 0.0) for k, amount in node.total.items()})
    return {name: amount for name, amount in needs_of(held).items() if amount > TINY}


def taken_by_tasks(node: WorkerNode) -> Amounts:
    """What a node has given to tasks outside of placement groups."""
    held = {k: v - node.available.get(k, 0.0) for k, v in room_for_tasks(node).items()}
    return {name: amount for name, amount in needs_of(held).items() if amount > TINY}


def room_for_tasks(node: WorkerNode) -> Amounts:
    """What a node has beside its actors and placement groups, which do not end like tasks."""
    room = {k: v - node.held_by_actors.get(k, 0.0) for k, v in node.total.items()}
    for name, amount in node.total.items():
        group = _GROUP.fullmatch(name)
        if group and not group["index"] and group[1] in room:
            room[group[1]] -= amount
    return room


def slots_of(needs: Amounts, offer: Amounts) -> float:
    """How many of a worker's slots are taken, or useless to others, while this runs there."""
    shares = [needs[name] / offer[name] for name in needs if offer.get(name)]
    return offer.get("CPU", 1.0) * max(shares, default=0.0)


def waiting_groups(groups: Iterable[Group]) -> tuple[Demand, ...]:
    """Placement groups: all of their bundles at once, or nothing."""
    found = []
    for group in groups:
        strategy = group.details.partition(":")[2].partition("|")[0]
        bundles = [needs for bundle in group.bundles if (needs := needs_of(bundle))]
        if strategy == "STRICT_PACK":
            bundles = [dict(sum((Counter(bundle) for bundle in bundles), Counter()))]
        if units := _units(bundles):
            apart = strategy == "STRICT_SPREAD"
            found.append(_demand("placement group", units, together=True, apart=apart))
    return tuple(found)


def floor_of(bundles: Sequence[tuple[Amounts, int]]) -> tuple[Demand, ...]:
    """What ``ray.autoscaler.sdk.request_resources`` has asked for."""
    units = tuple(Unit(needs=need, count=n) for each, n in bundles if (need := needs_of(each)))
    return (_demand("request_resources", units),) if units else ()


def sort_pending(
    pending: Iterable[Pending],
    actors: Iterable[tuple[str, Amounts]],
    nodes: Sequence[WorkerNode],
    offer: Amounts,
    names: Mapping[frozenset[tuple[str, float]], str],
) -> Sorted:
    """Tell what waits for a worker from what stands in line.

    Args:
        pending: shapes of tasks and actors that have no node.
        actors: class and resources of every actor among them.
        nodes: the workers there are.
        offer: what an empty worker offers.
        names: of pending tasks by what they need, as far as known.

    Returns:
        Both.
    """
    classes: dict[frozenset[tuple[str, float]], list[str]] = {}
    for name, resources in actors:
        classes.setdefault(shape(needs_of(resources)), []).append(name)
    waiting: list[Demand] = []
    line_slots = 0.0
    for each in pending:
        needs = needs_of(each.resources)
        if not needs:
            continue
        of_actors = classes.get(shape(needs), [])[: each.count]
        tasks = each.count - len(of_actors)
        key = shape(needs)
        needs = {**needs, **_unmet(each.labels, nodes)}
        for name, count in Counter(of_actors).items():
            waiting.append(_demand("actor", (Unit(needs=needs, count=count),), name))
        if tasks and not fits(needs, offer):
            unit = Unit(needs=needs, count=tasks)
            waiting.append(_demand("task", (unit,), names.get(key, "")))
        elif tasks:
            line_slots += tasks * slots_of(needs, offer)
            if not any(fits(needs, room_for_tasks(node)) for node in nodes if not node.leaving):
                unit = Unit(needs=needs)  # one gets its slot; the others stand in line for that
                waiting.append(_demand("task", (unit,), names.get(key, "")))
    return Sorted(tuple(waiting), line_slots)


def shape(needs: Amounts) -> frozenset[tuple[str, float]]:
    """What needs the same is the same."""
    return frozenset(needs.items())


def _demand(kind: str, units: tuple[Unit, ...], label: str = "", **how: bool) -> Demand:
    return Demand(kind=kind, units=units, label=label, **how)


def _units(bundles: Iterable[Amounts]) -> tuple[Unit, ...]:
    counts = Counter(shape(bundle) for bundle in bundles)
    return tuple(Unit(needs=dict(needs), count=count) for needs, count in counts.items())


def _unmet(labels: Iterable[LabelNeed], nodes: Iterable[WorkerNode]) -> Amounts:
    known = [node.labels for node in nodes]
    return {str(need): 1.0 for need in labels if known and not any(map(need.holds, known))}
