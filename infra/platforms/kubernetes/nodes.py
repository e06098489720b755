"""The nodes of pools as they are now, who holds how much of them, and where pods of ours are.

Whoever may use one namespace only sees what can be seen from there: the nodes on which its pods
are. What could not be looked at is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ebbtide.infra.models.hardware import Machines, Node, NodePool, OtherPods, PlacedPod
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import EVERY_POD, NODE, NODE_METRICS, POD, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, PLACEHOLDER, PROGRAM, ROLE, RUN
from ebbtide.infra.platforms.kubernetes.reading.nodes.requests import amounts, is_daemon, requested
from ebbtide.infra.platforms.kubernetes.reading.snapshot import node_of

_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_LIVING = "status.phase!=Succeeded,status.phase!=Failed"
"""What has ended holds nothing of its node any more."""


def machines_of(api: Api, pools: Sequence[NodePool]) -> Machines:
    """List the nodes of pools, and all pods of ours.

    Args:
        api: of the namespace.
        pools: which.

    Returns:
        Nodes with what ours and other pods ask of them and what is used; what could not be seen.

    Raises:
        ApiError: not even the namespace's own pods may be listed, or nobody answers.
    """
    not_shown: list[str] = []
    listed = _listed(api, pools, not_shown)
    pods = _every_pod(api, not_shown)
    look = _Look(api.namespace, pools, pods, listed, _load(api, listed, not_shown))
    return Machines(
        nodes={pool.name: look.nodes(pool) for pool in pools},
        listed=listed is not None,
        pods=tuple(look.placed(pod) for pod in pods if look.is_ours(pod)),
        not_shown=tuple(not_shown),
    )


def allocatable(node: Object, gpu_resource: str) -> Resources:
    """Return what a node offers to pods; nothing of what it does not say."""
    return amounts(node.get("status", {}).get("allocatable", {}), gpu_resource)


def is_ready(node: Object) -> bool:
    """Whether a node is ready and takes pods."""
    conditions = node.get("status", {}).get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not node.get("spec", {}).get("unschedulable")


@dataclass(frozen=True, slots=True)
class _Look:
    """All that was found at one moment."""

    namespace: str
    pools: Sequence[NodePool]
    pods: Sequence[Object]
    listed: Mapping[str, Sequence[Object]] | None
    """Nodes by the names of pools; None: they may not be listed."""
    load: Mapping[str, Resources]
    _by_node: dict[str, list[Object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pod in self.pods:
            self._by_node.setdefault(node_of(pod), []).append(pod)

    def is_ours(self, pod: Object) -> bool:
        """Whether it is one of a run of this namespace."""
        meta = pod["metadata"]
        return meta.get("namespace") == self.namespace and RUN in (meta.get("labels") or {})

    def nodes(self, pool: NodePool) -> tuple[Node, ...]:
        """Those of a pool: all, or where they may not be listed those with pods of ours for it."""
        if self.listed is not None:
            return tuple(self._node(pool, node) for node in self.listed[pool.name])
        ours = (pod for pod in self.pods if self.is_ours(pod) and _asks_for(pool, pod))
        names = sorted({node_of(pod) for pod in ours} - {""})
        return tuple(
            Node(
                name=name,
                capacity=pool.node or NOTHING,
                used=self._held(pool, name)[0],
                ready=False,
                seen=False,
            )
            for name in names
        )

    def placed(self, pod: Object) -> PlacedPod:
        """One of ours, and what it asks for."""
        meta, node = pod["metadata"], node_of(pod)
        labels = meta["labels"]
        pool = next((pool for pool in self.pools if self._is_of(pool, pod)), None)
        return PlacedPod(
            name=meta["name"],
            run=RunName(labels[RUN]),
            cluster=ClusterId(labels.get(CLUSTER, "")),
            role=labels.get(ROLE, ""),
            program=(meta.get("annotations") or {}).get(PROGRAM, ""),
            pool=pool.name if pool is not None else "",
            node=node,
            amount=requested(pod, pool.gpu_resource if pool is not None else ""),
        )

    def _node(self, pool: NodePool, node: Object) -> Node:
        meta = node["metadata"]
        labels = meta.get("labels") or {}
        used, others = self._held(pool, meta["name"])
        return Node(
            name=meta["name"],
            capacity=allocatable(node, pool.gpu_resource),
            used=used,
            ready=is_ready(node),
            instance_type=next((labels[name] for name in _TYPES if labels.get(name)), ""),
            gpu_type=labels.get(pool.gpu_label, ""),
            spot=pool.spot or _has_all(labels, pool.spot_label),
            others=others,
            load=self.load.get(meta["name"]),
        )

    def _held(self, pool: NodePool, node: str) -> tuple[Resources, OtherPods]:
        """What pods of ours ask of a node, and the others."""
        used, others = NOTHING, OtherPods()
        for pod in self._by_node.get(node, ()):
            asked = requested(pod, pool.gpu_resource)
            if self.is_ours(pod):
                used += asked
            elif pod["spec"].get("priorityClassName") == PLACEHOLDER:
                others += OtherPods(count=1)  # it makes room for every other
            elif is_daemon(pod):
                others += OtherPods(count=1, requested=asked, daemons=1, of_daemons=asked)
            else:
                others += OtherPods(count=1, requested=asked)
        return used, others

    def _is_of(self, pool: NodePool, pod: Object) -> bool:
        if _asks_for(pool, pod):
            return True
        nodes = self.listed[pool.name] if self.listed is not None else ()
        return any(node["metadata"]["name"] == node_of(pod) for node in nodes)


def _has_all(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether they are there; where nothing is wanted nothing tells."""
    return bool(wanted) and wanted.items() <= labels.items()


def _asks_for(pool: NodePool, pod: Object) -> bool:
    return pool.selector.items() <= (pod["spec"].get("nodeSelector") or {}).items()


def _listed(
    api: Api, pools: Iterable[NodePool], not_shown: list[str]
) -> dict[str, list[Object]] | None:
    try:
        return {pool.name: api.list(NODE, pool.selector).items for pool in pools}
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
    not_shown.append(
        "nodes may not be listed: only those with pods of ours are shown, without their type and"
        " load; grant list on nodes by a ClusterRole"
    )
    return None


def _every_pod(api: Api, not_shown: list[str]) -> list[Object]:
    """Those of all namespaces, or of this one where only they may be listed."""
    try:
        return api.list(EVERY_POD, fields=_LIVING).items
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
    not_shown.append(
        f"pods of other namespaces than {api.namespace} may not be listed: what they ask of these"
        " nodes is not counted; grant list on pods by a ClusterRole"
    )
    return api.list(POD, fields=_LIVING).items


def _load(
    api: Api, listed: Mapping[str, Sequence[Object]] | None, not_shown: list[str]
) -> dict[str, Resources]:
    """What is used of each node, by the metrics API."""
    nodes = {node["metadata"]["name"] for some in (listed or {}).values() for node in some}
    if not nodes:
        return {}
    try:
        found = api.ask(Request(path=NODE_METRICS.path("")), patience_s=0.0).get("items") or ()
    except ApiError as error:
        not_shown.append(f"the load of nodes: the metrics API gives no figures: {error.message}")
        return {}
    load = {each["metadata"]["name"]: amounts(each.get("usage") or {}, "") for each in found}
    if nodes.isdisjoint(load):
        not_shown.append("the load of nodes: the metrics API has no figures of any of them")
    return load
