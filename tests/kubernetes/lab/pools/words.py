"""What Cluster Autoscaler says: events and the status document (its shape since 1.30). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from tests.kubernetes.lab.pools import shrink
from tests.kubernetes.lab.pools.grow import Backoff, Growth
from tests.kubernetes.lab.pools.values import Node, Pod, Pool

HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"
_OK_SHARE = 0.45
"""A group is unhealthy when a larger share of it, and more than three nodes, are unready."""
_OK_UNREADY = 3


@dataclass(frozen=True, slots=True)
class Group:
    """How a pool is."""

    pool: Pool
    target: int
    registered: int
    ready: int
    starting: int
    candidates: int
    backoff: Backoff | None


def triggered(growth: Growth) -> str:
    """Of a pod for which a pool grows."""
    before = growth.target - growth.by
    sizes = f"{growth.pool.name} {before}->{growth.target} (max: {growth.pool.most})"
    return f"pod triggered scale-up: [{{{sizes}}}]"


def not_triggered(reasons: Counter[str]) -> str:
    """Of a pod that no pool helps."""
    counted = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return f"pod didn't trigger scale-up: {counted}"


def group_grows(growth: Growth) -> str:
    """Of a pool that is about to grow."""
    sizes = f"{growth.target} instead of {growth.target - growth.by} (max: {growth.pool.most})"
    return f"Scale-up: setting group {growth.pool.name} size to {sizes}"


def group_grew(growth: Growth) -> str:
    """Of a pool that was told to grow."""
    sizes = f"{growth.target} instead of {growth.target - growth.by} (max: {growth.pool.most})"
    return f"Scale-up: group {growth.pool.name} size set to {sizes}"


def failed(pool: Pool, number: int, code: str, why: str) -> str:
    """Of machines that the cloud refuses."""
    return f"Failed adding {number} nodes to group {pool.name} due to {code}; source errors: {why}"


def removing(node: Node, pods: Sequence[Pod]) -> str:
    """Of a node that is about to go."""
    if not pods:
        return f'Scale-down: removing empty node "{node.name}"'
    used, names = shrink.utilization(node, pods), ",".join(pod.name for pod in pods)
    return f"Scale-down: removing node {node.name}, utilization: {{{used:.2f}}}, pods: {names}"


def removed(name: str, drained: bool) -> str:
    """Of a node that has gone."""
    if drained:
        return f"Scale-down: node {name} removed with drain"
    return f"Scale-down: empty node {name} removed"


def status(groups: Sequence[Group], now: float, before: str = "") -> str:
    """The document in the ConfigMap's ``status``; ``before`` tells since when things are so."""
    probed = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")
    found = [_group(group, probed) for group in groups]
    growing = any(each["scaleUp"]["status"] == "InProgress" for each in found)
    candidates = sum(group.candidates for group in groups)
    registered = {
        "total": sum(group.registered for group in groups),
        "ready": sum(group.ready for group in groups),
    }
    whole: dict[str, Any] = {
        "health": {
            "status": HEALTHY,
            "nodeCounts": {"registered": registered},
            "lastProbeTime": probed,
        },
        "scaleUp": {"status": "InProgress" if growing else "NoActivity", "lastProbeTime": probed},
        "scaleDown": _down(candidates, probed),
    }
    document = {"time": moment, "autoscalerStatus": "Running", "clusterWide": whole}
    past = yaml.safe_load(before) if before else {}
    earlier = {group["name"]: group for group in past.get("nodeGroups", ())}
    for each in found:
        _date(each, earlier.get(each["name"], {}), probed)
    _date(whole, past.get("clusterWide", {}), probed)
    text: str = yaml.safe_dump({**document, "nodeGroups": found})
    return text


def _date(conditions: dict[str, Any], before: Mapping[str, Any], probed: str) -> None:
    """Since when each condition has its status: as before, or since now."""
    for name in ("health", "scaleUp", "scaleDown"):
        past = before.get(name, {})
        same = past.get("status") == conditions[name]["status"]
        conditions[name]["lastTransitionTime"] = past["lastTransitionTime"] if same else probed


def _group(group: Group, probed: str) -> dict[str, Any]:
    pool, unready = group.pool, group.registered - group.ready - group.starting
    counts: Mapping[str, Any] = {
        "registered": {
            "total": group.registered,
            "ready": group.ready,
            "notStarted": group.starting,
            "unready": {"total": unready},
        },
        "unregistered": max(0, group.target - group.registered),
    }
    sick = unready > max(_OK_UNREADY, _OK_SHARE * group.registered)
    health = {
        "status": UNHEALTHY if sick else HEALTHY,
        "nodeCounts": counts,
        "cloudProviderTarget": group.target,
        "minSize": pool.least,
        "maxSize": pool.most,
        "lastProbeTime": probed,
    }
    down = _down(group.candidates, probed)
    return {"name": pool.name, "health": health, "scaleUp": _up(group, probed), "scaleDown": down}


def _up(group: Group, probed: str) -> dict[str, Any]:
    backoff = group.backoff
    if backoff is not None:
        info = {"errorCode": backoff.code, "errorMessage": backoff.message}
        return {"status": "Backoff", "backoffInfo": info, "lastProbeTime": probed}
    state = "InProgress" if group.target > group.ready else "NoActivity"
    return {"status": state, "backoffInfo": {}, "lastProbeTime": probed}


def _down(candidates: int, probed: str) -> dict[str, Any]:
    if not candidates:
        return {"status": "NoCandidates", "lastProbeTime": probed}
    found = {"status": "CandidatesPresent", "candidates": candidates}
    return {**found, "lastProbeTime": probed}
