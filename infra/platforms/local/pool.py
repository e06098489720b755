"""The machine as a node pool: admission in order, and shares for what runs.

Everything is one transaction on the ledger, so several ``ebb run`` side by side never hand out the
same room twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from ebbtide.infra.models.cluster import QueueView
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.policy.queue import Entry, Place, places
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wall_s


def try_admit(
    ledger: Ledger, cluster: str, pool: NodePool, shares: Mapping[str, Resources]
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
    with ledger.transaction() as connection:
        place = _places(connection, pool.name).get(cluster)
        first = place is not None and not place.ahead and not place.limit
        if not first or not view.asked.fits_in(_free(connection, pool)):
            return view
        connection.executemany(
            "INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?, ?)",
            [_share(cluster, owner, pool.name, amount) for owner, amount in shares.items()],
        )
        connection.execute("UPDATE clusters SET state = 'admitted' WHERE id = ?", (cluster,))
    return None


def try_grow(
    ledger: Ledger, cluster: str, pool: NodePool, owner: str, amount: Resources
) -> Resources | None:
    """Take one more share, unless others wait for room or there is none.

    Returns:
        None when taken, else the room there was (NOTHING when others wait: they come first).
    """
    with ledger.transaction() as connection:
        waiting = _places(connection, pool.name).values()
        wanted = any(not place.limit for place in waiting)
        free = NOTHING if wanted else _free(connection, pool)
        if not amount.fits_in(free):
            return free
        row = _share(cluster, owner, pool.name, amount)
        connection.execute("INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?, ?)", row)
    return None


def give_back(ledger: Ledger, cluster: str, owner: str) -> None:
    """One share is free again."""
    ledger.write("DELETE FROM shares WHERE cluster = ? AND owner = ?", cluster, owner)


def free_room(ledger: Ledger, pool: NodePool) -> Resources:
    """What nobody holds."""
    row = ledger.row(_USED, pool.name)
    assert row is not None
    return pool.capacity - Resources(row[0], row[1])


def mark_released(ledger: Ledger, cluster: str, *, by: str, reason: Reason | None = None) -> bool:
    """Record that nothing of the cluster is left. The first to say so is remembered."""
    with ledger.transaction() as connection:
        connection.execute("DELETE FROM shares WHERE cluster = ?", (cluster,))
        changed = connection.execute(
            "UPDATE clusters SET released_at = ?, released_by = ?, state = 'released'"
            " WHERE id = ? AND released_at IS NULL",
            (wall_s(), by if reason is None else f"{by} {reason}", cluster),
        )
        return changed.rowcount > 0


_USED = (
    "SELECT coalesce(sum(cpu_millis), 0), coalesce(sum(memory_bytes), 0) FROM shares WHERE pool = ?"
)


_LINE = (
    "SELECT c.id, c.run, c.state, c.tier, c.tier_most, c.owner_most, r.owner"
    " FROM clusters c LEFT JOIN runs r ON r.name = c.run"
    " WHERE c.released_at IS NULL AND c.pool = ? ORDER BY c.seq"
)


def _look(
    ledger: Ledger, cluster: str, pool: NodePool, shares: Mapping[str, Resources]
) -> QueueView | None:
    """Without taking the write lock, so that many may wait cheaply."""
    row = ledger.cluster(cluster)
    if row is not None and row["state"] != "queued":
        return None
    holders = ledger.rows(
        "SELECT DISTINCT run FROM clusters JOIN shares ON shares.cluster = clusters.id"
        " WHERE shares.pool = ?",
        pool.name,
    )
    found = places(*_lines(ledger.rows(_LINE, pool.name)))
    place = found.get(cluster, Place(()))
    return QueueView(
        position=len(place.ahead) + 1,
        ahead=place.ahead,
        limit=place.limit,
        pool=pool.name,
        free=free_room(ledger, pool),
        asked=sum(shares.values(), start=NOTHING),
        held_by=tuple(entry["run"] for entry in holders),
    )


def _places(connection: sqlite3.Connection, pool: str) -> dict[str, Place]:
    return places(*_lines(connection.execute(_LINE, (pool,)).fetchall()))


def _lines(rows: list[sqlite3.Row]) -> tuple[list[Entry], list[Entry]]:
    """Those that wait, in order, and those that have room."""
    waiting: list[Entry] = []
    holding: list[Entry] = []
    for row in rows:
        entry = Entry(
            cluster=row["id"],
            run=row["run"],
            tier=row["tier"],
            owner=row["owner"] or "",
            tier_most=row["tier_most"],
            owner_most=row["owner_most"],
        )
        (waiting if row["state"] == "queued" else holding).append(entry)
    return waiting, holding


def _free(connection: sqlite3.Connection, pool: NodePool) -> Resources:
    used = connection.execute(_USED, (pool.name,)).fetchone()
    return pool.capacity - Resources(used[0], used[1])


def _share(
    cluster: str, owner: str, pool: str, amount: Resources
) -> tuple[str, str, str, int, int]:
    return (cluster, owner, pool, amount.cpu_millis, amount.memory_bytes)
