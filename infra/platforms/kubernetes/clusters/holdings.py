"""Everything of a cluster that the API server has, found by label whatever the records say."""

from __future__ import annotations

from collections.abc import Mapping

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, NOT_FOUND, ApiError
from ebbtide.infra.platforms.kubernetes.clusters.stranded import Stay, stranded
from ebbtide.infra.platforms.kubernetes.kinds import (
    AUTOSCALER,
    BUDGET,
    CONFIG_MAP,
    DASK_CLUSTER,
    DEPLOYMENT,
    LEASE,
    NETWORK_POLICY,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
    Kind,
    Object,
    kind_of,
)
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, ROLE, selector
from ebbtide.infra.platforms.kubernetes.reading.snapshot import HEAD, head_of, leaving
from ebbtide.infra.platforms.kubernetes.spelling import unix_time

OWNED = (
    *(POD, DEPLOYMENT, REPLICA_SET, AUTOSCALER, BUDGET),
    *(SERVICE, SECRET, CONFIG_MAP, NETWORK_POLICY),
)
"""The kinds of which a cluster has something, beside its Lease; pods first: they cost money."""
_KUBERNETES_OWN = ("foregroundDeletion", "orphan")
"""Finalizers that its garbage collector takes away by itself."""


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


def operated(api: Api, cluster: ClusterId | None) -> list[Object]:
    """Find what was asked of Dask's operator for one cluster, or for all.

    Args:
        api: of the namespace.
        cluster: its id; None: of all.

    Returns:
        DaskClusters: none where there are no such kinds, or where they may not be asked for.

    Raises:
        ApiError: the API server was away for too long, or refused in another way.
    """
    try:
        if cluster is None:
            return found(api, None, (DASK_CLUSTER,))
        one = api.get(DASK_CLUSTER, cluster)
    except ApiError as error:
        if error.status in (FORBIDDEN, NOT_FOUND):
            return []
        raise
    return [one] if one is not None else []


def kept_by(thing: Object) -> tuple[str, ...]:
    """Return the finalizers for which a deleted object waits, of others than Kubernetes itself.

    Whoever has set one takes it away when it has done its part, and nobody does when it is gone.
    """
    if not leaving(thing):
        return ()
    names = thing["metadata"].get("finalizers") or ()
    return tuple(name for name in names if name not in _KUBERNETES_OWN)


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
    things = [*found(api, cluster, OWNED), *operated(api, cluster)]
    things += found(api, cluster, (LEASE,))
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


def _pods(things: list[Object]) -> list[Object]:
    return [thing for thing in things if thing["kind"] == POD.name]


def _as_held(api: Api, thing: Object, now: float, lost: Mapping[str, Stay]) -> HeldResource:
    metadata = thing["metadata"]
    labels, kind = metadata.get("labels", {}), thing["kind"]
    is_pod = kind == POD.name
    role = labels.get(ROLE, "") if is_pod else kind.lower()
    stay = lost.get(metadata["name"]) if is_pod else None
    where, until = f"{kind.lower()} in namespace {api.namespace}", ""
    if stay is not None:
        where, until = f"{where} {stay.where}", stay.until
    elif kept_by(thing):
        keeper = ", ".join(kept_by(thing))
        where, until = f"{where}, kept by finalizer {keeper}", _until_it_is_let_go(api, thing)
    return HeldResource(
        cluster=ClusterId(labels[CLUSTER]),
        role=role,
        name=metadata["name"],
        where=where,
        age_s=max(0.0, now - unix_time(metadata["creationTimestamp"])),
        until=until,
        stays=stay is not None,
    )


def _until_it_is_let_go(api: Api, thing: Object) -> str:
    """Until when something with a finalizer stays, and how to end it without whoever has set it."""
    kind, name = kind_of(thing), thing["metadata"]["name"]
    who = "Dask's operator" if kind == DASK_CLUSTER else "whoever has set it"
    patch = '{"metadata":{"finalizers":null}}'
    command = f"kubectl -n {api.namespace} patch {kind.plural} {name} --type=merge -p '{patch}'"
    return f"until {who} takes its finalizer away: start it again, or {command}"
