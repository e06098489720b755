"""Which nodes are unneeded since when, and which of them go now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.kubernetes.lab.pools import fit
from tests.kubernetes.lab.pools.fit import Room
from tests.kubernetes.lab.pools.values import (
    BESIDE,
    DELETION,
    DISABLED,
    SAFE,
    Node,
    Pod,
    Pool,
    Timers,
)

_REPLICATED = ("ReplicaSet", "ReplicationController", "Job", "StatefulSet")
STAYS_BEHIND = ("DaemonSet", "Node")
"""Pods of these owners belong to their node: they neither block its end nor move."""


@dataclass(frozen=True, slots=True)
class Past:
    """What happened before, in seconds since the epoch."""

    grew_at: float = float("-inf")
    failed_at: float = float("-inf")


def holding(pods: Sequence[Pod]) -> list[Pod]:
    """Those that keep their node until they have gone."""
    return [pod for pod in pods if pod.owner not in STAYS_BEHIND and BESIDE not in pod.annotations]


def moving(pods: Sequence[Pod]) -> list[Pod]:
    """Those that would have to run elsewhere."""
    return [pod for pod in holding(pods) if not pod.leaving]


def obstacle(pod: Pod) -> str:
    """Why a pod may not be moved; empty when it may."""
    said = pod.annotations.get(SAFE)
    if said == "false":
        return "it says that it is not safe to evict"
    if pod.guarded:
        return "a disruption budget"
    if said == "true":
        return ""
    if pod.owner not in _REPLICATED:
        return f"{pod.owner or 'nobody'} would have to make it anew"
    if pod.space == "kube-system":
        return "a system pod without a disruption budget"
    return "data on the node's disk" if pod.local_data else ""


def utilization(node: Node, pods: Sequence[Pod]) -> float:
    """The larger share of CPU and memory that is requested; on a node with GPUs, that of those."""
    counted = ("nvidia.com/gpu",) if node.allocatable.get("nvidia.com/gpu") else ("cpu", "memory")
    shares = [
        float(sum(pod.requests.get(name, 0) for pod in pods) / node.allocatable[name])
        for name in counted
        if node.allocatable.get(name)
    ]
    return max(shares, default=0)


def unneeded(nodes: Sequence[Node], pods: Mapping[str, Sequence[Pod]], timers: Timers) -> list[str]:
    """Nodes of pools whose pods all fit elsewhere at the same time.

    One after another, so that two half empty nodes do not both count on the other's room.
    """
    rooms = {
        node.name: fit.room_on(node, pods.get(node.name, ())) for node in nodes if fit.usable(node)
    }
    found = []
    for node in nodes:
        here = pods.get(node.name, ())
        if not node.pool or node.marked(DELETION) or not _may_go(node, here, timers):
            continue
        own = rooms.pop(node.name, None)
        if _placed(moving(here), list(rooms.values())):
            found.append(node.name)
        elif own is not None:
            rooms[node.name] = own
    return found


def since(before: Mapping[str, float], names: Collection[str], now: float) -> dict[str, float]:
    """When each of these became unneeded."""
    return {name: before.get(name, now) for name in names}


def due(
    nodes: Sequence[Node],
    since_s: Mapping[str, float],
    pools: Sequence[Pool],
    timers: Timers,
    past: Past,
    now: float,
) -> list[Node]:
    """Nodes that go now, no pool below its minimum and never too many at once."""
    if now - past.grew_at < timers.after_growth_s or now - past.failed_at < timers.after_failure_s:
        return []
    leaving = [node for node in nodes if node.marked(DELETION)]
    above = {
        pool.name: sum(node.pool == pool.name for node in nodes if node not in leaving) - pool.least
        for pool in pools
    }
    found: list[Node] = []
    for node in nodes:
        needed_s = timers.unneeded_s if node.ready else timers.unready_s
        long_enough = now - since_s.get(node.name, now) >= needed_s
        if not long_enough or above.get(node.pool, 0) < 1:
            continue
        if len(leaving) + len(found) < timers.at_once:
            above[node.pool] -= 1
            found.append(node)
    return found


def one_drain(nodes: Sequence[Node], occupied: Collection[str], draining: bool) -> list[Node]:
    """Empty nodes go together, others one after another."""
    first = next((node for node in nodes if node.name in occupied), None)
    return [node for node in nodes if node.name not in occupied or (node is first and not draining)]


def _may_go(node: Node, pods: Sequence[Pod], timers: Timers) -> bool:
    light = utilization(node, pods) < timers.threshold or not node.ready
    kept = node.annotations.get(DISABLED) == "true"
    return light and not kept and not any(obstacle(pod) for pod in moving(pods))


def _placed(pods: Sequence[Pod], rooms: Sequence[Room]) -> bool:
    """Put the pods there, all or none of them."""
    taken: list[tuple[Room, Pod]] = []
    for pod in pods:
        room = next((room for room in rooms if not fit.refusals(pod, room)), None)
        if room is None:
            for each, back in taken:
                for name, amount in back.requests.items():
                    each.free[name] += amount
            return False
        room.take(pod)
        taken.append((room, pod))
    return True
