"""The nodes of a pool as they are now, and how much of them runs of ours hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.infra.models.hardware import Node, NodePool
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import NODE, POD, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER
from ebbtide.infra.platforms.kubernetes.spelling import quantity


def nodes_of(api: Api, pool: NodePool) -> tuple[Node, ...]:
    """List the nodes with a pool's label.

    Args:
        api: of the namespace; what other namespaces hold is not seen.
        pool: which.

    Returns:
        Each with what its pods of ours ask for.

    Raises:
        ApiError: nodes may not be listed, or the API server does not answer.
    """
    used: dict[str, Resources] = {}
    for pod in api.list(POD, {CLUSTER: "*"}).items:
        node = pod["spec"].get("nodeName", "")
        used[node] = used.get(node, NOTHING) + _asked(pod)
    return tuple(
        Node(
            name=node["metadata"]["name"],
            capacity=allocatable(node),
            used=used.get(node["metadata"]["name"], NOTHING),
            ready=is_ready(node),
        )
        for node in api.list(NODE, pool.selector).items
    )


def allocatable(node: Object) -> Resources:
    """Return what a node offers to pods; nothing of what it does not say."""
    return _resources(node.get("status", {}).get("allocatable", {}))


def is_ready(node: Object) -> bool:
    """Whether a node is ready and takes pods."""
    conditions = node.get("status", {}).get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not node.get("spec", {}).get("unschedulable")


def _asked(pod: Object) -> Resources:
    asked = (each.get("resources", {}).get("requests", {}) for each in pod["spec"]["containers"])
    return sum(map(_resources, asked), start=NOTHING)


def _resources(amounts: Mapping[str, Any]) -> Resources:
    """Of a container that somebody added, such as a mesh's sidecar, there may be none."""
    cores, memory_bytes = (quantity(str(amounts.get(name, "0"))) for name in ("cpu", "memory"))
    return Resources(round(cores * 1000), round(memory_bytes))
