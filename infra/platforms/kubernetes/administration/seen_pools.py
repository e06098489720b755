"""Which pools the nodes of a Kubernetes are of, as their labels say.

For an administrator who begins to write a catalog: what an autoscaler may make beside these nodes
is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterable

from ebbtide.infra.models.hardware import GPU_RESOURCE, POOL_LABEL, NodePool, Taint
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.kubernetes.api_error import translated
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import NODE, Object
from ebbtide.infra.platforms.kubernetes.nodes import allocatable
from ebbtide.infra.request.ebb_yaml.pools import KUBERNETES
from ebbtide.infra.settings import Settings

LABELS = (
    POOL_LABEL,
    "karpenter.sh/nodepool",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
)
"""Which say of what pool a node is, the first that any node has counts."""
_NOT_A_POOLS = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "DeletionCandidateOfClusterAutoscaler",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/unregistered",
)
"""Begin the keys of taints that come and go with a node's state."""
_CONTROL = "node-role.kubernetes.io/control-plane"


def seen_pools(settings: Settings, label: str) -> tuple[NodePool, ...]:
    """Ask for the nodes, and sort them into pools.

    Args:
        settings: say which Kubernetes.
        label: of nodes, whose value is the pool; empty: the usual ones are tried.

    Returns:
        The pools; none where no node has such a label.

    Raises:
        EbbError: there is no way to the API server, or nodes may not be listed.
    """
    api = connected(settings)
    with translated("list the nodes"):
        nodes = api.ask(Request(path=NODE.path("")))["items"]
    return pools_of(nodes, label)


def pools_of(nodes: Iterable[Object], label: str = "") -> tuple[NodePool, ...]:
    """Sort nodes into pools by a label; of each pool the smallest node counts.

    Args:
        nodes: as the API server lists them; those of the control plane are left out.
        label: as for ``seen_pools``.

    Returns:
        The pools, by name.
    """
    workers = [node for node in nodes if not _is_control(node) and _offers_something(node)]
    known = [each for each in LABELS if any(each in _labels(node) for node in workers)]
    key = label or next(iter(known), POOL_LABEL)
    by_value: dict[str, list[Object]] = {}
    for node in workers:
        if key in _labels(node):
            by_value.setdefault(_labels(node)[key], []).append(node)
    return tuple(_pool(key, value, by_value[value]) for value in sorted(by_value))


def _pool(label: str, value: str, nodes: list[Object]) -> NodePool:
    offers = [allocatable(node, GPU_RESOURCE) for node in nodes]
    node = Resources(
        min(offer.cpu_millis for offer in offers),
        min(offer.memory_bytes for offer in offers),
        min(offer.gpus for offer in offers),
    )
    return NodePool(
        name=value,
        platform=KUBERNETES,
        capacity=sum(offers, start=NOTHING),
        node=node,
        max_nodes=len(nodes),
        label=label,
        taints=tuple(t for t in _taints(nodes[0]) if all(t in _taints(node) for node in nodes)),
    )


def _labels(node: Object) -> dict[str, str]:
    found: dict[str, str] = node["metadata"].get("labels") or {}
    return found


def _is_control(node: Object) -> bool:
    return _CONTROL in _labels(node)


def _offers_something(node: Object) -> bool:
    """Whether it has told what it has; one that has just registered has not yet."""
    offer = allocatable(node, GPU_RESOURCE)
    return offer.cpu_millis > 0 and offer.memory_bytes > 0


def _taints(node: Object) -> list[Taint]:
    listed = node.get("spec", {}).get("taints") or ()
    return [
        Taint(key=each["key"], value=each.get("value", ""), effect=each["effect"])
        for each in listed
        if not each["key"].startswith(_NOT_A_POOLS)
    ]
