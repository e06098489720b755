"""The machine as a node pool: admission in order, and shares for what runs.

Shares are taken in one transaction of the ledger, so several ``ebb run`` side by side never hand
out the same room twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ebbtide.infra.models.cluster import QueueView
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.records import LeaseState, PoolUse
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.policy.queue import QueuePosition, places
from ebbtide.infra.records.ledger import Ledger


def try_admit(
    ledger: Ledger, cluster: ClusterId, pool: NodePool, shares: Mapping[str, Resources]
) -> QueueView | None:
    """Take all the shares at once when it is this cluster's turn and there is room.

    Args:
        ledger: where shares are kept.
        cluster: the cluster that waits.
        pool: where the shares come from.
        shares: owner (``head``, ``worker-0``, …) to amount; admitted together or not at all.

    Returns:
        None when admitted (now or before), else where it stands in the queue.
    """
    view = _look(ledger, cluster, pool, shares)
    if view is None or view.position > 1 or view.limit or not view.asked.fits_in(view.free):
        return view
    asked = view.asked

    def its_turn(use: PoolUse) -> bool:
        place = places(use.waiting, use.holding).get(cluster)
        first = place is not None and not place.ahead and not place.limit
        return first and asked.fits_in(_room(pool, use))

    taken = ledger.take_shares(
        cluster, pool.name, shares, allowed=its_turn, admit=True, devices=pool.devices
    )
    return None if taken else view


def try_grow(
    ledger: Ledger, cluster: ClusterId, pool: NodePool, owner: str, amount: Resources
) -> Resources | None:
    """Take one more share of a pool, unless others wait for room or there is none.

    Args:
        ledger: where shares are kept.
        cluster: who takes it.
        pool: of which pool.
        owner: of the share, such as ``worker-3``.
        amount: of the share.

    Returns:
        None when taken, else the room there was (NOTHING when others wait: they come first).
    """
    free = NOTHING

    def fits(use: PoolUse) -> bool:
        nonlocal free
        wanted = any(not place.limit for place in places(use.waiting, use.holding).values())
        free = NOTHING if wanted else _room(pool, use)
        return amount.fits_in(free)

    taken = ledger.take_shares(
        cluster, pool.name, {owner: amount}, allowed=fits, devices=pool.devices
    )
    return None if taken else free


def free_room(ledger: Ledger, pool: NodePool) -> Resources:
    """What nobody holds."""
    return _room(pool, ledger.pool_use(pool.name))


def _room(pool: NodePool, use: PoolUse) -> Resources:
    """What nobody holds.

    Of GPUs not the difference: one of the pool's may be held by a run of another pool, and a run of
    this pool may hold one that this caller may not use.
    """
    unheld = len(set(pool.devices) - set(use.devices))
    return replace(pool.capacity - use.used, gpus=unheld)


def _look(
    ledger: Ledger, cluster: ClusterId, pool: NodePool, shares: Mapping[str, Resources]
) -> QueueView | None:
    """Without taking the write lock, so that many may wait cheaply."""
    found = ledger.cluster(cluster)
    if found is not None and found.state is not LeaseState.QUEUED:
        return None
    holders = ledger.pool_holders(pool.name)
    use = ledger.pool_use(pool.name)
    place = places(use.waiting, use.holding).get(cluster, QueuePosition(()))
    return QueueView(
        position=len(place.ahead) + 1,
        ahead=place.ahead,
        limit=place.limit,
        pool=pool.name,
        free=_room(pool, use),
        asked=sum(shares.values(), start=NOTHING),
        held_by=holders,
    )
