"""Whether a pod fits a node, in the scheduler's own words where it does not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.kubernetes.lab.pools.values import CANDIDATE, DELETION, Amounts, Node, Pod, Pool

ELSEWHERE = "node(s) didn't match Pod's node affinity/selector"
_SELECTORS = {
    "In": lambda value, wanted: value in wanted,
    "NotIn": lambda value, wanted: value not in wanted,
    "Exists": lambda value, wanted: value is not None,
    "DoesNotExist": lambda value, wanted: value is None,
    "Gt": lambda value, wanted: value is not None and int(value) > int(wanted[0]),
    "Lt": lambda value, wanted: value is not None and int(value) < int(wanted[0]),
}


@dataclass(slots=True)
class Room:
    """What is still free on a node, one that exists or one that would."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]]
    free: dict[str, Decimal]

    def take(self, pod: Pod) -> None:
        """Put a pod there."""
        for resource, amount in pod.requests.items():
            self.free[resource] = self.free.get(resource, Decimal(0)) - amount


def template(pool: Pool) -> Room:
    """A fresh machine of a pool."""
    return Room(f"{pool.name} (new)", pool.labels(), pool.taints(), pool.allocatable())


def room_on(node: Node, pods: Sequence[Pod]) -> Room:
    """What these pods leave of a node. A candidate's taint only asks to stay away."""
    taints = [taint for taint in node.taints if taint["key"] != CANDIDATE]
    room = Room(node.name, node.labels, taints, dict(node.allocatable))
    for pod in pods:
        room.take(pod)
    return room


def usable(node: Node) -> bool:
    """Whether pods may go there."""
    return node.ready and not node.unschedulable and not node.marked(DELETION)


def refusals(pod: Pod, room: Room) -> list[str]:
    """What the first filter says that keeps the pod from there; nothing when it fits."""
    for taint in room.taints:
        if taint["effect"] != "PreferNoSchedule" and not _tolerates(pod, taint):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    if not _selected(pod, room.labels):
        return [ELSEWHERE]
    return [_too_little(resource) for resource in lacking(pod.requests, room.free)]


def lacking(wanted: Amounts, free: Amounts) -> list[str]:
    """Resources of which there is not enough."""
    return [name for name, amount in wanted.items() if amount > free.get(name, Decimal(0))]


def matches(labels: Mapping[str, str], expressions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all of these expressions (In, NotIn, Exists, …) hold for the labels."""
    return all(
        _SELECTORS[each["operator"]](labels.get(each["key"]), each.get("values", ()))
        for each in expressions
    )


def _selected(pod: Pod, labels: Mapping[str, str]) -> bool:
    exact = all(labels.get(key) == value for key, value in pod.selector.items())
    terms = [matches(labels, term.get("matchExpressions", ())) for term in pod.terms]
    return exact and (any(terms) or not terms)


def _tolerates(pod: Pod, taint: Mapping[str, Any]) -> bool:
    return any(
        each.get("effect") in (None, "", taint["effect"])
        and each.get("key") in (None, "", taint["key"])
        and (each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", ""))
        for each in pod.tolerations
    )


def _too_little(resource: str) -> str:
    return "Too many pods" if resource == "pods" else f"Insufficient {resource}"
