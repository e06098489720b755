"""Everything of a cluster that the API server has, found by label whatever the records say."""

from __future__ import annotations

from collections.abc import Mapping

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.clusters.stranded import stranded
from ebbtide.infra.platforms.kubernetes.kinds import (
    AUTOSCALER,
    BUDGET,
    CONFIG_MAP,
    DEPLOYMENT,
    LEASE,
    NETWORK_POLICY,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
    Kind,
    Object,
)
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, ROLE, selector
from ebbtide.infra.platforms.kubernetes.reading.snapshot import HEAD, head_of
from ebbtide.infra.platforms.kubernetes.spelling import unix_time

OWNED = (
    *(POD, DEPLOYMENT, REPLICA_SET, AUTOSCALER, BUDGET),
    *(SERVICE, SECRET, CONFIG_MAP, NETWORK_POLICY),
)
"""The kinds of which a cluster has something, beside its Lease; pods first: they cost money."""


def found(api: Api, cluster: ClusterId | None, kinds: tuple[Kind, ...]) -> list[Object]:
    """List what there is of one cluster, or of all.

    Args:
        api: of the namespace.
        cluster: its id; None: of all.
        kinds: to be looked for.

    Returns:
        The objects, kind by kind.
    """
    labels = {CLUSTER: cluster or "*"}
    return [thing for kind in kinds for thing in api.list(kind, labels).items]


def head_pod(api: Api, cluster: ClusterId) -> str:
    """The name of the head's pod; empty when there is none.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    head = head_of(api.list(POD, selector(cluster, HEAD)).items)
    return str(head["metadata"]["name"]) if head is not None else ""


def held(
    api: Api, cluster: ClusterId | None, now: float, *, released: bool = False
) -> list[HeldResource]:
    """List what lives of one cluster, or of all; see ``Platform.held``.

    Args:
        api: of the namespace.
        cluster: its id; None: of all.
        now: Unix time in seconds, for the age.
        released: whether it was released: without its Lease, which goes last, and without pods
            there is nothing, and nothing else is asked for.

    Returns:
        Everything, the Lease last.
    """
    if released and not found(api, cluster, (POD, LEASE)):
        return []
    things = found(api, cluster, (*OWNED, LEASE))
    lost = stranded(api, _pods(things))
    return [_as_held(api, thing, now, lost) for thing in things]


def present(api: Api, kinds: tuple[Kind, ...]) -> set[ClusterId]:
    """List the clusters of which there is something that can be ended.

    Args:
        api: of the namespace.
        kinds: to be looked for.

    Returns:
        Their ids.
    """
    things = found(api, None, kinds)
    lost = stranded(api, _pods(things))
    return {
        ClusterId(thing["metadata"]["labels"][CLUSTER])
        for thing in things
        if thing["kind"] != POD.name or thing["metadata"]["name"] not in lost
    }


def until_it_goes(node: str) -> str:
    """Until when a pod of a node that does not answer stays, in words."""
    return f"until {node} is back, deleted, or tainted out-of-service"


def _pods(things: list[Object]) -> list[Object]:
    return [thing for thing in things if thing["kind"] == POD.name]


def _as_held(api: Api, thing: Object, now: float, lost: Mapping[str, str]) -> HeldResource:
    metadata = thing["metadata"]
    labels, kind = metadata.get("labels", {}), thing["kind"]
    is_pod = kind == POD.name
    role = labels.get(ROLE, "") if is_pod else kind.lower()
    node = lost.get(metadata["name"], "") if is_pod else ""
    where = f"{kind.lower()} in namespace {api.namespace}"
    return HeldResource(
        cluster=ClusterId(labels[CLUSTER]),
        role=role,
        name=metadata["name"],
        where=f"{where} on node {node}, which does not answer" if node else where,
        age_s=max(0.0, now - unix_time(metadata["creationTimestamp"])),
        until=until_it_goes(node) if node else "",
        stays=bool(node),
    )
