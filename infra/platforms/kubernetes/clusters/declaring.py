"""Making the objects of a cluster, so that making them again adopts what is there."""

from __future__ import annotations

from ebbtide.infra.platforms.kubernetes.api import SIZES, Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters.fencing import held_by_another
from ebbtide.infra.platforms.kubernetes.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    LEASE,
    POD,
    SECRET,
    Kind,
    Object,
    kind_of,
)
from ebbtide.infra.platforms.kubernetes.manifests.cluster import owned

_SIZES: dict[Kind, str] = {DEPLOYMENT: "replicas", AUTOSCALER: "minReplicas"}
"""Where a size is in the ``spec``: declared once, from then on the other manager's."""


def declare(api: Api, things: list[Object]) -> bool:
    """Make a Lease and what it owns.

    Args:
        api: of the namespace.
        things: the Lease first, then what it is to own.

    Returns:
        Whether the Lease was made now; False: the cluster was there and is adopted.

    Raises:
        ApiError: something was refused; what had been made by then is the Lease's.
    """
    lease, *owned_by_it = things
    name, new = lease["metadata"]["name"], True
    try:
        root = api.create(lease)
    except ApiError as error:
        if not error.exists:
            raise
        found, new = api.get(LEASE, name), False
        if found is None:  # released in between
            raise
        if held_by_another(found):
            return False  # its holder makes what is missing
        root = found
    for thing in owned_by_it:
        add(api, root, thing)
    return new


def add(api: Api, lease: Object, thing: Object) -> Object | None:
    """Make one object that a Lease owns, or make it what it should be.

    Args:
        api: of the namespace.
        lease: as the API server has it.
        thing: the object. Of a Secret the first is kept, as each call makes other keys; of a pod
            too, as hardly anything of it can be changed.

    Returns:
        The object; None for a Secret or pod that was there.
    """
    mine, kind = owned(thing, lease), kind_of(thing)
    if kind in (SECRET, POD):
        return _create_once(api, mine)
    size = _SIZES.get(kind)
    if size is None:
        return api.apply(mine)
    wanted = mine["spec"][size]
    made = api.apply({**mine, "spec": {k: v for k, v in mine["spec"].items() if k != size}})
    if not _sized(made) and made["spec"].get(size, 1) != wanted:
        api.merge(kind, thing["metadata"]["name"], {"spec": {size: wanted}}, manager=SIZES)
    return made


def _sized(made: Object) -> bool:
    """Whether its size has been somebody's since it was made; an HPA has no generation."""
    metadata = made["metadata"]
    owners = {each.get("manager") for each in metadata.get("managedFields") or ()}
    return SIZES in owners or metadata.get("generation", 1) > 1


def _create_once(api: Api, thing: Object) -> Object | None:
    try:
        return api.create(thing)
    except ApiError as error:
        if error.exists:
            return None
        raise
