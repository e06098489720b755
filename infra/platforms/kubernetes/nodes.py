"""The nodes of a pool as they are now, and how much of them runs of ours hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.infra.models.hardware import Node, NodePool
from ebbtide.infra.models.resources import NOTHING, Resources, parse_cpu, parse_memory
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import NODE, POD, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER


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
            capacity=_resources(node["status"].get("allocatable", {})),
            used=used.get(node["metadata"]["name"], NOTHING),
            ready=_is_ready(node),
        )
        for node in api.list(NODE, pool.selector).items
    )


def _asked(pod: Object) -> Resources:
    asked = (each.get("resources", {}).get("requests", {}) for each in pod["spec"]["containers"])
    return sum(map(_resources, asked), start=NOTHING)


def _resources(amounts: Mapping[str, Any]) -> Resources:
    return Resources(
        parse_cpu(str(amounts.get("cpu", "0"))), parse_memory(str(amounts.get("memory", "0")))
    )


def _is_ready(node: Object) -> bool:
    conditions = node["status"].get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not node["spec"].get("unschedulable", False)
