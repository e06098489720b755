"""What Ebb does in a namespace, by verb and kind: ``ebb doctor`` asks for it, a Role grants it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ebbtide.infra.platforms.kubernetes.kinds import (
    AUTOSCALER,
    BUDGET,
    CONFIG_MAP,
    DASK_CLUSTER,
    DEPLOYMENT,
    EVENT,
    EVERY_POD,
    JOB,
    LEASE,
    NETWORK_POLICY,
    NODE,
    NODE_CLAIM,
    NODE_METRICS,
    POD,
    POD_METRICS,
    POD_TEMPLATE,
    PRIORITY_CLASS,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    VOLUME_CLAIM,
    Kind,
    Object,
)

_LOOK = ("get", "list", "watch")
_NOT_DETACHED = "ebb run --detach leaves its flow on this machine, which must stay on"
_APPLY = ("get", "create", "patch")
"""Server-side apply makes what is not there: it needs both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Some verbs on one kind, or on a part of it."""

    kind: Kind
    verbs: tuple[str, ...]
    part: str = ""
    """Such as ``exec``; empty: the object itself."""
    without: str = ""
    """What is weaker without it; empty: nothing runs."""

    @property
    def shown(self) -> str:
        """For people: figures of pods and nodes have the same names as these."""
        of_metrics = self.kind.group == POD_METRICS.group
        return f"{self.resource}.{self.kind.group}" if of_metrics else self.resource

    @property
    def resource(self) -> str:
        """As a Role names it."""
        return f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural


RIGHTS = (
    Right(kind=LEASE, verbs=(*_LOOK, "create", "patch", "update", "delete")),
    Right(kind=POD, verbs=(*_LOOK, "create", "patch", "delete", "deletecollection")),
    Right(kind=POD, part="log", verbs=("get",)),
    # Newer API servers ask for create where older ones ask for get.
    Right(kind=POD, part="exec", verbs=("get", "create")),
    Right(
        kind=POD,
        part="portforward",
        verbs=("get", "create"),
        without="ebb open shows no dashboard, and tasks that wait add no workers",
    ),
    Right(kind=SECRET, verbs=("get", "list", "create", "delete", "deletecollection")),
    Right(
        kind=CONFIG_MAP,
        verbs=(*_LOOK, "create", "update", "patch", "delete", "deletecollection"),
    ),
    Right(kind=SERVICE, verbs=(*_APPLY, "list", "delete", "deletecollection")),
    Right(kind=DEPLOYMENT, verbs=(*_LOOK, "create", "patch", "delete", "deletecollection")),
    Right(kind=REPLICA_SET, verbs=(*_LOOK, "delete", "deletecollection")),
    Right(kind=AUTOSCALER, verbs=(*_LOOK, "create", "patch", "delete", "deletecollection")),
    Right(kind=BUDGET, verbs=(*_APPLY, "list", "delete", "deletecollection")),
    Right(kind=NETWORK_POLICY, verbs=(*_APPLY, "list", "delete", "deletecollection")),
    Right(kind=JOB, verbs=("get", "list", "create", "patch", "delete"), without=_NOT_DETACHED),
    Right(kind=POD_TEMPLATE, verbs=("get",), without=_NOT_DETACHED),
    Right(kind=SERVICE_ACCOUNT, verbs=("get",), without=_NOT_DETACHED),
    Right(kind=EVENT, verbs=_LOOK, without="ebb why cannot say why a pod waits"),
    Right(
        kind=RESOURCE_QUOTA,
        verbs=("get", "watch"),
        without="a run that waits for a quota knows a few seconds later that it has room",
    ),
    Right(
        kind=VOLUME_CLAIM,
        verbs=("get",),
        without="a claim that --outputs names is not known to be missing before a run begins",
    ),
    Right(
        kind=POD_METRICS,
        verbs=("get", "list"),
        without="receipts have no use of CPU and memory",
    ),
    Right(
        kind=NODE,
        verbs=_LOOK,
        without="ebb nodes shows no machines, and a node that is lost is known later",
    ),
    Right(
        kind=PRIORITY_CLASS,
        verbs=("get", "list"),
        without="a PriorityClass that is not there is told when a pod is refused, not before",
    ),
    Right(
        kind=NODE_METRICS,
        verbs=("list",),
        without="ebb nodes shows no load of machines",
    ),
    Right(
        kind=EVERY_POD,
        verbs=("list",),
        without="ebb nodes does not count what pods of other namespaces ask of machines",
    ),
    Right(
        kind=NODE_CLAIM,
        verbs=("get", "list"),
        without="what Karpenter orders is known from events alone",
    ),
)
"""Every verb that this package uses. Those on kinds without a namespace are for a ClusterRole."""

OPERATOR_RIGHTS = (
    Right(kind=DASK_CLUSTER, verbs=_APPLY),
    Right(
        kind=DASK_CLUSTER,
        verbs=("list", "delete"),
        without="ebb held does not name all DaskClusters, and those of applied plans stay",
    ),
)
"""And these, where the catalog says ``dask: {mode: operator}``."""

_RELEASE = ("list", "deletecollection")
REAPER_RIGHTS = (
    Right(kind=LEASE, verbs=(*_LOOK, "patch", "delete")),
    Right(kind=POD, verbs=("get", "list", "patch", "delete", "deletecollection")),
    Right(
        kind=CONFIG_MAP,
        verbs=("get", "list", "create", "update", "patch", "delete", "deletecollection"),
    ),
    *(
        Right(kind=kind, verbs=_RELEASE)
        for kind in (SECRET, SERVICE, DEPLOYMENT, REPLICA_SET, AUTOSCALER, BUDGET, NETWORK_POLICY)
    ),
    Right(kind=DASK_CLUSTER, verbs=("get", "delete")),
)
"""What the reaper of a namespace uses; its Role in ``deploy/reaper.yaml`` grants just that."""


def rules(*, namespaced: bool, rights: Iterable[Right] = RIGHTS) -> list[Object]:
    """The rules of a Role, or of a ClusterRole for kinds that are in no namespace.

    Args:
        namespaced: which of the two.
        rights: what to grant.

    Returns:
        One rule for each group, set of verbs and list of resources.
    """
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for right in rights:
        if right.kind.namespaced is namespaced:
            found.setdefault((right.kind.group, right.verbs), []).append(right.resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
        for (group, verbs), resources in found.items()
    ]
